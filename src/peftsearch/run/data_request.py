"""The data that a run's settings name, to be read for the run's model."""

from dataclasses import fields

from peftsearch.models.load import load_config
from peftsearch.run.config import RunConfig
from peftsearch.tasks.task import TaskRequest

_KIND = "is_encoder_decoder"


def request_of(config: RunConfig) -> TaskRequest:
    """The data to load for a run, with the kind of its model, which decides between task formats of equal columns.

    Raises:
        ModelError: for a model without a configuration; it is only looked at for data of the user.
    """
    given = {each.name: getattr(config, each.name) for each in fields(TaskRequest) if each.name != _KIND}
    is_encoder_decoder = bool(config.data) and bool(load_config(config.model).is_encoder_decoder)
    return TaskRequest(**given, is_encoder_decoder=is_encoder_decoder)
