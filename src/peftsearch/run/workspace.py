"""What every stage of a run needs: the task as encoded data, the model's sites, and fresh copies of the model."""

from dataclasses import dataclass
from functools import cached_property

from peftsearch.models.discover import find_sites
from peftsearch.models.load import LoadedModel, load_config, load_model, load_tokenizer, max_length_of
from peftsearch.modules.costs import cost_at
from peftsearch.run.config import RunConfig
from peftsearch.space import Budget, Preset, SearchSpace, Site
from peftsearch.space.encoding import ENCODINGS, Encoding
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.load import TaskRequest, load_task
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.task_format import TaskFormat, make_task_format


@dataclass(frozen=True)
class Workspace:
    """A task put to a model.

    Args:
        config: the run's settings.
        task: examples of every split.
        task_format: how the task is put to the model.
    """

    config: RunConfig
    task: Task
    task_format: TaskFormat

    @classmethod
    def open(cls, config: RunConfig) -> "Workspace":
        """Load the task and find out how the model takes it; the model itself is loaded when it is needed."""
        task = load_task(
            TaskRequest(
                task=config.task,
                data=config.data,
                text=config.text,
                label=config.label,
                data_dir=config.data_dir,
                max_train_samples=config.max_train_samples,
                seed=config.seed,
            )
        )
        model_config = load_config(config.model)
        tokenizer = load_tokenizer(config.model, config=model_config)
        limits = [config.training.max_seq_length or task.max_length, max_length_of(model_config, tokenizer)]
        task_format = make_task_format(
            task,
            tokenizer=tokenizer,
            is_encoder_decoder=bool(model_config.is_encoder_decoder),
            max_length=min(limits),
        )
        return cls(config, task, task_format)

    def fresh_model(self, seed: int) -> LoadedModel:
        """The pretrained model with a newly drawn task head."""
        return load_model(
            self.config.model,
            num_labels=self.task_format.num_labels,
            problem_type=self.task_format.problem_type,
            seed=seed,
        )

    @property
    def task_type(self) -> str:
        """peft's name of the task."""
        return "SEQ_2_SEQ_LM" if self.task_format.num_labels is None else "SEQ_CLS"

    @cached_property
    def train(self) -> EncodedSplit:
        """The training split."""
        return self._encoded("train")

    @cached_property
    def validation(self) -> EncodedSplit:
        """The split that selects epochs and learning rates."""
        return self._encoded("validation")

    def first_of_validation(self, count: int) -> EncodedSplit:
        """The first examples of the validation split, for methods that score often; all of them if it has fewer."""
        examples = self.validation.examples[:count]
        return self.validation if len(examples) == len(self.validation.examples) else self._encode(examples)

    @cached_property
    def test(self) -> EncodedSplit:
        """The split that is scored once, at the end."""
        return self._encoded("test")

    def num_truncated(self) -> dict[str, int]:
        """Rows of each split that were cut at the token limit."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split.encoded.num_truncated for name, split in splits.items()}

    def _encoded(self, split: str) -> EncodedSplit:
        return self._encode(tuple(self.task.splits[split]))

    def _encode(self, examples: tuple[Example, ...]) -> EncodedSplit:
        return EncodedSplit(examples, self.task_format.encode(examples))


@dataclass(frozen=True)
class Scope:
    """What can be chosen for a model, and how much of it.

    Args:
        sites: every site of the model.
        space: the search space over them.
        encoding: name of the way in which the choices hang together.
        backbone_parameters: parameters of the model without its task head.
        head_parameters: parameters of the task head.
        budgets: requested text -> parameters, in the order given.
    """

    sites: tuple[Site, ...]
    space: SearchSpace
    encoding: str
    backbone_parameters: int
    head_parameters: int
    budgets: dict[str, int]

    @classmethod
    def of(cls, loaded: LoadedModel, *, preset: Preset, budget: str) -> "Scope":
        """Lay the space over a model and read the budgets.

        Raises:
            BudgetError: for a budget that holds no module.
        """
        sites = find_sites(loaded.model)
        search_space = SearchSpace.build(preset, sites=sites, cost=cost_at)
        texts = [text.strip() for text in budget.split(",") if text.strip()]
        budgets = {text: Budget.parse(text).parameters(loaded.backbone_parameters) for text in texts}
        head_parameters = sum(p.numel() for name in loaded.head for p in loaded.model.get_submodule(name).parameters())
        return cls(sites, search_space, preset.encoding, loaded.backbone_parameters, head_parameters, budgets)

    def usable_budgets(self) -> dict[str, int]:
        """Budgets cut to the size of the space.

        Raises:
            BudgetError: for a budget that holds no module.
        """
        return {text: self.space.check_budget(parameters) for text, parameters in self.budgets.items()}

    def make_encoding(self) -> Encoding:
        """The variables of the space, within the largest budget."""
        return ENCODINGS[self.encoding](self.space, max(self.usable_budgets().values()), self.sites)
