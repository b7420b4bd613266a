"""Notes for the user on the model of a run."""

from peftsearch.models.earlier_head import describe_other_classes, find_other_classes
from peftsearch.models.left_out import left_out_note
from peftsearch.models.load import classes_of, load_config
from peftsearch.models.quantisation import quantised_note
from peftsearch.modules.costs import needs_float_note
from peftsearch.run.experiment import Experiment


def head_notes(experiment: Experiment) -> tuple[str, ...]:
    """A note where the model has a head of another task."""
    known, labels = classes_of(load_config(experiment.model)), experiment.task_format.head.labels
    classes = find_other_classes(experiment.sketch, known, labels)
    return (describe_other_classes(classes),) if classes else ()


def site_notes(experiment: Experiment) -> tuple[str, ...]:
    """Sentences on quantised weights, and on what no module can stand at."""
    sites, quantised = experiment.sites, experiment.quantised
    return (
        *quantised_note(experiment.quantization, num_quantised=len(quantised), num_sites=len(sites)),
        *left_out_note(experiment.sketch.model, sites, experiment.backbone_parameters),
        *needs_float_note(experiment.preset, sites=sites, quantised=quantised),
    )
