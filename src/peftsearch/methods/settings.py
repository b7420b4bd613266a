"""Every method's name and settings. No torch here, so that --help and `list` are quick."""

from dataclasses import dataclass, field

from peftsearch.registry import Registry


@dataclass(frozen=True)
class BipeftSettings:
    """Settings of BIPEFT; the defaults are the paper's where it states them.

    Args:
        max_triggers: K, triggers after which the search stops.
        decay: of the moving average of sensitivities (eq. 4), in [0, 1).
        window: consecutive indicator pairs whose mean cosine decides on a trigger (eq. 5).
        threshold: tau, mean cosine from which the indicator counts as stable, in [-1, 1].
        warmup: steps before the first trigger; a share of the planned steps if below 1.
        weight_warmup: first steps that train weights only, since zero-initialised modules give gates no gradient.
        learning_rate: of the architecture parameters.
        weight_decay: of the architecture parameters.
        regularisation: factor of mean |softmax(w) - w| for each architecture tensor.
        temperature_start: Gumbel-softmax temperature at the first step.
        temperature_end: temperature at the last planned step.
        epochs: planned passes over the weight half; 0 takes the number of the training.
        order: "iterative", "binary_then_rank", "rank_then_binary" or "entangled" (Table 2).
        sampling: "gumbel" or "softmax" (Table 2: no Gumbel).
        selection: "early" removes and fixes on triggers; "final" selects once at the end (Table 2).
        sensitivity: "cosine" (eq. 3), "trn", "val" or "trn+val".
    """

    max_triggers: int = 100
    decay: float = 0.85
    window: int = 5
    threshold: float = 0.85
    warmup: float = 0.1
    weight_warmup: int = 5
    learning_rate: float = 0.01
    weight_decay: float = 1e-4
    regularisation: float = 0.01
    temperature_start: float = 5.0
    temperature_end: float = 1.0
    epochs: float = 0.0
    order: str = "iterative"
    sampling: str = "gumbel"
    selection: str = "early"
    sensitivity: str = "cosine"


@dataclass(frozen=True)
class ManualSettings:
    """Settings of a manual configuration.

    Args:
        rank: of ranked kinds; 0 takes the largest that the budget holds, or 8 without a budget.
        roles: comma-separated roles such as "query,value"; empty for every role that the kind fits.
    """

    rank: int = 0
    roles: str = ""


@dataclass(frozen=True)
class MethodEntry:
    """A method as users see it.

    Args:
        description: one line for `peftsearch list methods`.
        settings: its settings class.
        is_search: whether it searches; manual configurations don't.
    """

    description: str
    settings: type
    is_search: bool = field(default=False)


METHODS: Registry[MethodEntry] = Registry("method")
METHODS.add("bipeft", MethodEntry("budget-guided iterative search (Chang et al. 2024)", BipeftSettings, True))
METHODS.add("lora", MethodEntry("LoRA of one rank on linear maps", ManualSettings))
METHODS.add("low_rank_adapter", MethodEntry("low-rank adapter after attention and FFN", ManualSettings))
METHODS.add("bitfit", MethodEntry("biases of linear maps and norms", ManualSettings))
METHODS.add("lnfit", MethodEntry("weights of norms", ManualSettings))
METHODS.add("head", MethodEntry("the task head only, backbone frozen", ManualSettings))
METHODS.add("full", MethodEntry("every parameter of the model", ManualSettings))
