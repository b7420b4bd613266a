"""Search inside of a user's own Trainer, with its model, data, collator and loss."""

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset
from transformers import DefaultFlowCallback, Trainer, TrainerControl, TrainerState, TrainingArguments, set_seed
from transformers.trainer_callback import CallbackHandler
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, TrainOutput

from peftsearch.api.attach import as_loaded, attach, temporarily_attached
from peftsearch.environment import refuse_several_processes
from peftsearch.errors import BudgetError, ConfigurationError, DataError
from peftsearch.models.discover import find_sites
from peftsearch.modules.adapter_config import write_provenance
from peftsearch.modules.costs import cost_at
from peftsearch.run.config import make_config
from peftsearch.searches.gate_driver import run_gate_search, search_steps, split_training_set
from peftsearch.searches.gate_search import GateSearch
from peftsearch.searches.method import METHODS, Driver
from peftsearch.space import Budget, Configuration, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.batches import endless
from peftsearch.training.callbacks import JsonLog, ShowProgress
from peftsearch.training.log_file import LogFile
from peftsearch.training.micro_batches import Batch, MicroBatches
from peftsearch.training.parameter_groups import RatesByKind

logger = logging.getLogger(__name__)


class SearchMixin(RatesByKind):
    """Mixin that adds a search to a Trainer: `train` first finds a configuration within the budget, then trains it.

    Put it in front of any subclass of transformers' Trainer, whose data, collator, `compute_loss` and batches the
    search uses: `class SearchSFTTrainer(SearchMixin, SFTTrainer): ...`. Its own arguments are keyword-only; all
    others go to that Trainer. `args.learning_rate` is LoRA's, and every kind has its own multiple of it.

    Args:
        budget: parameters (102600, "100k") or a share of the backbone ("0.05%", "5bp"); the task head is not counted.
        method: "bipeft", "s3delta" or "prunepeft", or a mapping with "name" and the method's settings.
        space: a name of `peftsearch list spaces`; by default the method's own.
        head: names of modules that are trained and saved in full. By default what stands outside of the base model,
            and nothing of a language model.

    Raises:
        ConfigurationError: for a method that needs more than one training, or what a search cannot do.
        BudgetError: for a budget that holds no module.
        ModelError: for a model with peft modules.
        PeftSearchError: in one of several processes, as torchrun starts them.

    Example:
        trainer = SearchTrainer(model=model, args=args, train_dataset=train, budget="0.1%")
        configuration = trainer.search()  # the model stays as it is; `train` alone would search too
        trainer.train()
        trainer.save_model("adapter")
    """

    def __init__(
        self,
        *args: Any,
        budget: str | int,
        method: str | Mapping[str, Any] = "bipeft",
        space: str = "",
        head: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        refuse_several_processes()
        super().__init__(*args, **kwargs)
        if self.model_init is not None or self.optimizer is not None:
            raise ConfigurationError(
                "A search takes neither model_init nor optimizers, as it attaches modules to one model and makes "
                "their optimizer. Give model=, and optimizer_cls_and_kwargs= or args.optim."
            )
        self._loaded = as_loaded(self.model, head)
        self._config = make_config(
            {"model": self._loaded.name, "budget": str(budget), "method": method, "space": space}
        )
        if METHODS[self._config.method_name].driver is not Driver.GATES:
            known = ", ".join(name for name in METHODS if METHODS[name].driver is Driver.GATES)
            raise ConfigurationError(
                f"The method '{self._config.method_name}' does not search in one training. In a Trainer: {known}."
            )
        if len(self._config.budget_texts) != 1:
            raise BudgetError(f"A Trainer searches within one budget, but the budget is '{budget}'.")
        self._sites = find_sites(self._loaded.model)
        self._space = SearchSpace.build(self._config.preset, sites=self._sites, cost=cost_at)
        wished = Budget.parse(self._config.budget_texts[0]).parameters(self._loaded.backbone_parameters)
        self._budget = self._space.check_budget(wished)
        self.configuration: Configuration | None = None

    def search(self) -> Configuration:
        """Find a configuration within the budget and keep it for `train`; the model stays as it is.

        The log and the configuration are written to `search/` in `args.output_dir`. The same seed gives the same
        configuration. Callbacks and trackers are those of `train` and are not called here.

        Raises:
            ConfigurationError: after `train`.
            DataError: for a training set without a length.
            TrainingError: if the loss stops being a number.
        """
        if self.model is not self._loaded.model:
            raise ConfigurationError("The model has been trained already. Make a new Trainer to search again.")
        train, args = self._train_set(), self.args
        set_seed(args.seed)
        method: Any = METHODS[self._config.method_name].load()
        settings = self._config.method
        weight_half, architecture_half = split_training_set(train, method, args.seed)
        steps = self._num_steps(len(weight_half))
        strategy = method(self._space, budgets=[self._budget], settings=settings, planned_steps=steps)
        with temporarily_attached(self._loaded, self._space.largest, self._sites) as model:
            supernet = Supernet(model, sites=self._sites, space=self._space)
            counts = METHODS[self._config.method_name].progress_counts
            run_gate_search(TrainerHost(self, weight_half, architecture_half, steps, counts), supernet, strategy)
            # Before the model is given back: whatever fails there, the search is not lost.
            self.configuration = strategy.results()[self._budget]
            self.configuration.save(self._folder / "configuration.json")
        for note in strategy.notes():
            logger.warning(note)
        return self.configuration

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """Search unless that is done, attach what was found, and train it as the Trainer trains any model.

        Args:
            resume_from_checkpoint: as in transformers; what the interrupted run had found is read back.
            kwargs: of the Trainer's own `train`.
        """
        # Not in the copy of this Trainer that searches: its model is the supernet.
        if self.model is self._loaded.model:
            if self.configuration is None and resume_from_checkpoint:
                self.configuration = Configuration.load(self._folder / "configuration.json")
            configuration = self.configuration or self.search()
            set_seed(self.args.seed)
            self.model = self.model_wrapped = attach(self._loaded.model, configuration, head=self._loaded.head)
            method, seed = self._config.method_name, self.args.seed
            write_provenance(self.model, method=method, budget=self._budget, seed=seed)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _num_steps(self, num_examples: int) -> int:
        """Optimizer steps of the search: `args.max_steps`, or those that the method plans over its data."""
        if self.args.max_steps > 0:
            return self.args.max_steps
        return search_steps(num_examples // self.args.world_size, self.args, self._config.method)

    @property
    def _folder(self) -> Path:
        return Path(str(self.args.output_dir)) / "search"

    def _train_set(self) -> Any:
        """The training set, a dataset with a length."""
        train = self.train_dataset
        if not isinstance(train, Sized):
            raise DataError(
                f"The training set is a {type(train).__name__}, but a search needs one with a length, as "
                "it halves it. Give a Dataset, not an IterableDataset."
            )
        return train


class SearchTrainer(SearchMixin, Trainer):
    """A Trainer of transformers that searches before it trains; arguments and an example are in `SearchMixin`."""


@dataclass(frozen=True)
class TrainerHost:
    """Host of a search in a user's Trainer: a copy of it trains the supernet, with its loss and data.

    Args:
        trainer: the user's; it stays as it is.
        weight_half: the part of its training set that trains weights.
        architecture_half: the part that trains the architecture.
        num_steps: optimizer steps of the search.
        counts: of the progress line; see `ShowProgress`.
    """

    trainer: SearchMixin
    weight_half: Dataset
    architecture_half: Subset
    num_steps: int
    counts: Mapping[str, str]

    def make_trainer(self, supernet: Supernet) -> SearchMixin:
        search = copy.copy(self.trainer)
        search.args = _arguments_of_search(self.trainer.args, self.num_steps)
        search.model = search.model_wrapped = supernet.model
        search.train_dataset = self.weight_half
        search.state, search.control = TrainerState(), TrainerControl()
        log = LogFile(Path(str(self.trainer.args.output_dir)) / "search" / "log.jsonl")
        search.callback_handler = CallbackHandler(
            [DefaultFlowCallback(), JsonLog(log), ShowProgress("search", self.counts)],
            supernet.model,
            search.processing_class,
            None,
            None,
        )
        return search

    def architecture_batches(self, trainer: Trainer) -> Iterator[Batch]:
        return endless(lambda: _loader(trainer, self.architecture_half))

    def micro_batches(self, trainer: Trainer) -> MicroBatches:
        return MicroBatches()

    def score(self, trainer: Trainer) -> float:
        return _score(trainer)

    def run(self, search: GateSearch) -> None:
        trainer = search.trainer
        assert isinstance(trainer, SearchMixin)
        # Around the whole step of the user's class, whatever of it that class has made its own.
        trainer.training_step = partial(search.step, trainer.training_step)
        trainer.train()


def _arguments_of_search(args: TrainingArguments, num_steps: int) -> TrainingArguments:
    """Copy the arguments with that number of steps, and without evaluation, saving and reports."""
    # A plain copy: making new arguments would set up devices and trackers once more.
    args = copy.copy(args)
    args.max_steps = num_steps
    args.eval_strategy, args.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
    args.eval_on_start = args.load_best_model_at_end = args.push_to_hub = args.auto_find_batch_size = False
    return args


def _loader(search: Trainer, dataset: Subset) -> DataLoader:
    """Load the architecture's half in batches, collated as the Trainer's own, in another order on each process."""
    args = search.args
    generator = torch.Generator().manual_seed(args.seed + 1 + search.accelerator.process_index)
    return DataLoader(
        dataset,
        batch_size=args.train_batch_size,
        sampler=RandomSampler(dataset, generator=generator),
        collate_fn=search._get_collator_with_removed_columns(search.data_collator, "architecture"),
    )


def _score(search: Trainer) -> float:
    """Score the model on the evaluation set by `args.metric_for_best_model`, by default the loss; larger is better.

    Raises:
        DataError: if there is no evaluation set, or no such metric.
    """
    if search.eval_dataset is None:
        raise DataError("The method scores each epoch of the search on an evaluation set. Give eval_dataset.")
    name = search.args.metric_for_best_model or "loss"
    name = name if name.startswith("eval_") else f"eval_{name}"
    found = search.evaluate()
    if name not in found:
        raise DataError(f"There is no metric '{name}'. Set args.metric_for_best_model to one of {', '.join(found)}.")
    is_larger_better = search.args.greater_is_better
    if is_larger_better is None:
        is_larger_better = not name.endswith("loss")
    return found[name] if is_larger_better else -found[name]
