"""A task, a model and budgets of parameters: every stage of a run works on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from peft import PeftModel

from peftsearch.environment import threads_of_each
from peftsearch.errors import DataError
from peftsearch.models.check_weights import check_weights
from peftsearch.models.discover import find_sites
from peftsearch.models.head import TaskModel
from peftsearch.models.load import load_task_model, sketch_model
from peftsearch.models.loading import IN_FULL, Loading
from peftsearch.models.quantisation import (
    check_not_twice,
    find_quantised,
    make_quantization_config,
    quantisation_of,
)
from peftsearch.models.token_rows import TokenRows, find_token_rows
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_beside
from peftsearch.run.config import RunConfig
from peftsearch.run.data_request import request_of
from peftsearch.run.encoded_splits import EncodedSplits
from peftsearch.run.first_bias import start_at_shares
from peftsearch.run.head_start import ProbedHeads
from peftsearch.run.open_format import format_for
from peftsearch.run.target_units import standardised, start_at_mean
from peftsearch.space import Budget, Configuration, Preset, SearchSpace, Site
from peftsearch.space.encoding import ENCODINGS, Encoding
from peftsearch.task_head import Medium
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.load import load_task
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.task import Task
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.halving import candidate_rates, rate_of_search
from peftsearch.training.judges import num_judges
from peftsearch.training.settings import AUTO, TrainingSettings, examples_of_step, planned_steps
from peftsearch.training.workers import Workers


@dataclass(frozen=True)
class Experiment:
    """A task, a model, and the modules that may be attached to it.

    Splits are encoded, and sites and sizes read, when they are first asked for.

    Args:
        model: the pretrained model as the user named it.
        task: examples of every split.
        task_format: how the task is put to the model.
        preset: the search space before it meets the model.
        budget_texts: the requested budgets, as written.
        training: settings of every training.
        given_rates: learning rates that the user names for the trainings, ascending; none where each finds its own.
        seed: of the search and of the first training.
        run_name: shown by trackers before the name of a training.
        folder: of the run, where probed heads are kept.
        workers: that train at the same time.
        loading: how the model is brought into memory.
    """

    model: str
    task: Task
    task_format: TaskFormat
    preset: Preset
    budget_texts: tuple[str, ...]
    training: TrainingSettings
    seed: int
    run_name: str = field(default="", compare=False)
    folder: Path = field(default=Path(), compare=False)
    workers: Workers = field(default=Workers(), compare=False)
    loading: Loading = IN_FULL
    given_rates: tuple[float, ...] = ()

    @classmethod
    def open(cls, config: RunConfig) -> "Experiment":
        """Load the task and find out how the model takes it; no weights are loaded.

        Raises:
            PeftSearchError: for data, a model or a tokenizer that cannot be used.
        """
        task = load_task(request_of(config))
        return cls(
            model=config.model,
            task=task,
            task_format=standardised(format_for(config, task), config.model),
            preset=config.preset,
            budget_texts=tuple(config.budget_texts),
            training=config.training,
            seed=config.seed,
            run_name=config.tracked_name,
            folder=Path(config.output_folder),
            workers=Workers(config.workers, threads_of_each(config.workers), config.ray_address),
            loading=config.loading,
            given_rates=tuple(config.learning_rates),
        )

    def check(self) -> None:
        """Check the model's weights, its sites and the budgets, without loading weights.

        Raises:
            PeftSearchError: for the first thing that is wrong.
        """
        self.task_format.check_model(self.sketch.model, self.model)
        if self.loading.quantises:
            check_not_twice(self.model, self.sketch.model.config, self.loading)
            make_quantization_config(self.loading.quantization)
        if not check_weights(self.sketch):
            # What is to be fetched, or has no header, is loaded once before anything is written or deleted.
            self.load_model(self.seed)
        _ = self.space, self.budgets_of_modules

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled for a worker: the fields and the splits, since all else is quickly made again."""
        kept = {each.name for each in fields(self)} | {"splits"}
        return {name: value for name, value in vars(self).items() if name in kept}

    def load_model(self, seed: int) -> TaskModel:
        """Load the pretrained model with a newly drawn task head.

        Args:
            seed: of the head.
        """
        return load_task_model(self.model, self.task_format.head, seed=seed, loading=self.loading)

    def start_model(self, seed: int) -> TaskModel:
        """Load the pretrained model with the task head that searches and trainings start from.

        Args:
            seed: of the head.
        """
        loaded = self.load_model(seed)
        start_at_mean(loaded.model, self.task_format, self.splits.train.encoded, seed=seed)
        start_at_shares(loaded.model, self.task_format, self.splits.train.encoded)
        if loaded.head and self.training.head_start == "probe":
            self.probed_heads.load_into(loaded, seed)
        return loaded

    def attach(self, loaded: TaskModel, configuration: Configuration) -> PeftModel:
        """Attach a configuration's modules to a loaded model, in place, and freeze all the rest but its head.

        The rows of the tokens that the user names are trained too.
        """
        return attach(
            loaded.model,
            configuration,
            sites=self.sites,
            head=loaded.head,
            task_type=self.task_format.head.peft_task,
            token_rows=self.token_rows.indices,
        )

    @cached_property
    def probed_heads(self) -> ProbedHeads:
        """The task heads that are fitted to the frozen model, one for each seed."""
        batch_size = self.training.per_device_eval_batch_size
        return ProbedHeads(self.folder, self.task_format, self.splits.train, self.splits.validation, batch_size)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of a whole training."""
        return planned_steps(len(self.splits.train.encoded), self.training, self.training.num_train_epochs)

    @cached_property
    def candidate_rates(self) -> tuple[float, ...]:
        """Learning rates that suit the model's width, ascending."""
        return candidate_rates(self.sketch.model.config.get_text_config().hidden_size)

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates that are tried, ascending: those that the user names, else those that suit the model."""
        return self.given_rates or self.candidate_rates

    @property
    def search_training(self) -> TrainingSettings:
        """Settings of the training that a search does, with one of the rates that are tried where none is given."""
        if self.training.learning_rate != AUTO:
            return self.training
        return replace(self.training, learning_rate=rate_of_search(self.rates))

    def judges(self, *, after: int, share: float = 1.0) -> EncodedSplit:
        """The validation examples whose losses decide between trainings that have come to a step.

        Args:
            after: optimizer steps.
            share: of the split that decides at most, from 0 to 1.
        """
        trained_on = after * examples_of_step(self.training)
        count = num_judges(len(self.splits.validation.examples), trained_on=trained_on, share=share)
        return self.splits.some_of_validation(count)

    @cached_property
    def guess_losses(self) -> list[float] | None:
        """Validation losses of guessing by the training labels; None for text-to-text."""
        return self._guess_losses_on(self.splits.validation)

    @property
    def guess_loss(self) -> float | None:
        """Mean of `guess_losses`."""
        return self.guess_loss_on(self.splits.validation)

    def guess_loss_on(self, split: EncodedSplit) -> float | None:
        """Mean loss of guessing by the training labels on some examples; None for text-to-text."""
        losses = self.guess_losses if split is self.splits.validation else self._guess_losses_on(split)
        return fmean(losses) if losses else None

    def _guess_losses_on(self, split: EncodedSplit) -> list[float] | None:
        return self.task_format.guess_losses(self.splits.train.encoded.labels, split.encoded.labels)

    @property
    def reading(self) -> TaskReading:
        """How rows of the task are read, for predictions without its data."""
        task_format = self.task_format
        return TaskReading.of(
            self.task,
            max_length=task_format.max_length,
            choices=task_format.choices,
            max_new_tokens=task_format.max_new_tokens,
        )

    @cached_property
    def sketch(self) -> TaskModel:
        """The model without weights."""
        return sketch_model(self.model, self.task_format.head)

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """Every site of the model."""
        return find_sites(self.sketch.model)

    @property
    def quantization(self) -> Mapping[str, Any]:
        """How the model's weights are quantised, while they are loaded or on disk already; empty if they are not."""
        return quantisation_of(self.sketch.model.config, self.loading)

    @property
    def quantised_on_disk(self) -> frozenset[str]:
        """Paths of the sites whose weights exports cannot have in full."""
        return frozenset() if self.loading.quantises else self.quantised

    @cached_property
    def quantised(self) -> frozenset[str]:
        """Paths of the sites whose weights are quantised."""
        return find_quantised(self.sketch.model, self.sites, self.quantization)

    @property
    def backbone_parameters(self) -> int:
        """Parameters of the model without its task head."""
        return self.sketch.backbone_parameters

    @property
    def head(self) -> tuple[str, ...]:
        """Names of the modules of the task head; none for text-to-text."""
        return self.sketch.head

    @cached_property
    def space(self) -> SearchSpace:
        """The search space over the sites."""
        return SearchSpace.build(self.preset, sites=self.sites, cost=cost_beside(self.quantised))

    @cached_property
    def token_rows(self) -> TokenRows:
        """The rows of tokens that are trained beside the modules, the same ones in every training."""
        tokens = self.training.token_names
        if not tokens:
            return TokenRows()
        if self.task_format.head.medium is not Medium.TEXTS:
            raise DataError(
                f"training.trainable_tokens names '{tokens[0]}', but pictures have no tokens. Leave it out."
            )
        return find_token_rows(self.sketch.model, self.task_format.tokenizer, tokens, name=self.model)

    @cached_property
    def budgets(self) -> dict[str, int]:
        """Requested text -> parameters of modules and rows of tokens together, in the order given."""
        return {text: Budget.parse(text).parameters(self.backbone_parameters) for text in self.budget_texts}

    @property
    def budgets_of_modules(self) -> dict[str, int]:
        """Requested text -> parameters that the rows of tokens leave to modules.

        Raises:
            BudgetError: for a budget that the rows use up.
        """
        return {text: self.token_rows.left_of(parameters) for text, parameters in self.budgets.items()}

    def granted(self, of_modules: int) -> int:
        """The budget of modules and rows of tokens together, from what is left to modules."""
        return of_modules + self.token_rows.num_parameters

    @property
    def smallest_budget(self) -> int | None:
        """The budget of the modules that are trained, in parameters; None without a budget."""
        return min(self.budgets_of_modules.values(), default=None)

    def usable_budgets(self) -> dict[str, int]:
        """Budgets of modules, cut to the size of the space.

        Raises:
            BudgetError: for a budget that holds no module.
        """
        return {text: self.space.check_budget(parameters) for text, parameters in self.budgets_of_modules.items()}

    def make_encoding(self) -> Encoding:
        """Make the encoding of the space, within the largest budget."""
        return ENCODINGS[self.preset.encoding](self.space, max(self.usable_budgets().values()), self.sites)

    @cached_property
    def splits(self) -> EncodedSplits:
        """The task's splits as the model reads them."""
        return EncodedSplits(self.task, self.task_format, self.seed)
