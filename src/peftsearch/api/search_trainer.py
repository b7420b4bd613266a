"""Search inside of a user's own Trainer, with its model, data, collator and loss."""

import logging
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from transformers import Trainer, set_seed
from transformers.trainer_utils import TrainOutput

from peftsearch import processes
from peftsearch.api.attach import as_loaded, attach, temporarily_attached
from peftsearch.api.gates_in_trainer import TrainerHost
from peftsearch.api.growth_in_trainer import TrainerGrowth
from peftsearch.api.shared_out import SharedOut
from peftsearch.errors import BudgetError, ConfigurationError, DataError
from peftsearch.models.discover import find_sites
from peftsearch.models.left_out import left_out_note
from peftsearch.modules.adapter_config import write_provenance
from peftsearch.modules.costs import cost_at
from peftsearch.run.make_config import make_config
from peftsearch.searches.gate_driver import run_gate_search, search_steps, split_training_set
from peftsearch.searches.growing import put_weights
from peftsearch.searches.growth import Grown
from peftsearch.searches.method import METHODS, Driver
from peftsearch.space import Budget, Configuration, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.parameter_groups import RatesByKind

logger = logging.getLogger(__name__)

# The loops that need no more than one model and its Trainer.
DRIVERS = (Driver.GATES, Driver.GROWTH)
# What searches unless the user names another method: the command line's default trains several times.
DEFAULT_METHOD = "pursuit"


class SearchMixin(SharedOut, RatesByKind):
    """Mixin that adds a search to a Trainer: `train` first finds a configuration within the budget, then trains it.

    Put it in front of any subclass of transformers' Trainer, whose data, collator, `compute_loss` and batches the
    search uses: `class SearchSFTTrainer(SearchMixin, SFTTrainer): ...`. Its own arguments are keyword-only; all
    others go to that Trainer. `args.learning_rate` is LoRA's, and every kind has its own multiple of it.

    Args:
        budget: parameters (102600, "100k") or a share of the backbone ("0.05%", "5bp"); the task head is not counted.
        method: "pursuit", "bipeft", "s3delta" or "prunepeft", or a mapping with "name" and the method's settings. A
            race, the command line's default, trains several times, which a Trainer does not.
        space: a name of `peftsearch list spaces`; by default the method's own.
        head: names of modules that are trained and saved in full. By default what stands outside of the base model,
            and nothing of a language model.

    Raises:
        ConfigurationError: for a method that needs many trainings, or what a search cannot do.
        BudgetError: for a budget that holds no module.
        ModelError: for a model with peft modules.
        ConfigurationError: if the launcher asks for DeepSpeed or Megatron, or the Trainer has a plugin for FSDP.

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
        method: str | Mapping[str, Any] = DEFAULT_METHOD,
        space: str = "",
        head: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        try:
            super().__init__(*args, **kwargs)
        except AttributeError as error:
            # TRL's trainers load a model by its name, transformers' own does not.
            model = kwargs.get("model", args[0] if args else None)
            if not isinstance(model, str):
                raise
            raise ConfigurationError(
                f"The model is the name '{model}', but this Trainer takes a loaded model, such as that of "
                "AutoModelForSequenceClassification.from_pretrained(...). peftsearch.search takes names."
            ) from error
        if self.model_init is not None or self.optimizer is not None:
            raise ConfigurationError(
                "A search takes neither model_init nor optimizers, as it attaches modules to one model and makes "
                "their optimizer. Give model=, and optimizer_cls_and_kwargs= or args.optim."
            )
        self._loaded = as_loaded(self.model, head)
        self._config = make_config(
            {"model": self._loaded.name, "budget": str(budget), "method": method, "space": space}
        )
        if METHODS[self._config.method_name].driver not in DRIVERS:
            known = ", ".join(name for name in METHODS if METHODS[name].driver in DRIVERS)
            raise ConfigurationError(
                f"The method '{self._config.method_name}' does not search in a Trainer. These do: {known}. For the "
                "others use peftsearch.search."
            )
        if len(self._config.budget_texts) != 1:
            raise BudgetError(f"A Trainer searches within one budget, but the budget is '{budget}'.")
        self.share_out(self._loaded.model)
        self._sites = find_sites(self._loaded.model)
        for note in left_out_note(self._loaded.model, self._sites, self._loaded.backbone_parameters):
            logger.warning(note)
        self._space = SearchSpace.build(self._config.preset, sites=self._sites, cost=cost_at)
        wished = Budget.parse(self._config.budget_texts[0]).parameters(self._loaded.backbone_parameters)
        self._budget = self._space.check_budget(wished)
        self.configuration: Configuration | None = None
        # What the last search found, with the weights that its training starts from.
        self._start = Grown()

    def search(self) -> Configuration:
        """Find a configuration within the budget and keep it for `train`; the model stays as it is.

        The log and the configuration are written to `search/` in `args.output_dir`. The same seed gives the same
        configuration. Callbacks and trackers are those of `train` and are not called here.

        Raises:
            ConfigurationError: after `train`.
            DataError: for a training set without a length, or with too few examples.
            TrainingError: if the loss or a gradient is not a number, or no module is worth its parameters.
        """
        if self.model is not self._loaded.model:
            raise ConfigurationError("The model has been trained already. Make a new Trainer to search again.")
        train = self._train_set()
        set_seed(self.args.seed)
        with self.together():
            self._share_head()
            is_growth = METHODS[self._config.method_name].driver is Driver.GROWTH
            self._start = self._search_by_growth() if is_growth else Grown(self._search_with_gates(train))
            found = self._start.configuration
            processes.require_equal("the configuration", found.to_json())
            self._keep(found)
            processes.wait_for_all("end the search")
        return found

    def _share_head(self) -> None:
        """Let all processes start with the first one's head, which each may have drawn for itself."""
        heads = [self._loaded.model.get_submodule(name) for name in self._loaded.head]
        processes.share([parameter for head in heads for parameter in head.parameters()])

    def _keep(self, found: Configuration) -> None:
        if processes.is_first():
            found.save(self._folder / "configuration.json")
        self.configuration = found

    def _search_by_growth(self) -> Grown:
        config = self._config
        grower: Any = METHODS[config.method_name].load()(
            self._space, budgets=[self._budget], settings=config.method, seed=self.args.seed
        )
        return TrainerGrowth(self, self._loaded, self._sites, grower, self._folder).run()

    def _search_with_gates(self, train: Any) -> Configuration:
        method: Any = METHODS[self._config.method_name].load()
        weight_half, architecture_half = split_training_set(train, method, self.args.seed)
        steps = self._num_steps(len(weight_half))
        strategy = method(self._space, budgets=[self._budget], settings=self._config.method, planned_steps=steps)
        with temporarily_attached(self._loaded, self._space.largest, self._sites) as model:
            supernet = Supernet(model, sites=self._sites, space=self._space)
            counts = METHODS[self._config.method_name].progress_counts
            run_gate_search(TrainerHost(self, weight_half, architecture_half, steps, counts), supernet, strategy)
            # Before the model is given back: whatever fails there, the search is not lost.
            found = strategy.results()[self._budget]
            self._keep(found)
        for note in strategy.notes():
            logger.warning(note)
        return found

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
            if configuration == self._start.configuration:
                put_weights(self.model, self._start, self._sites)
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
                "it draws examples from it. Give a Dataset, not an IterableDataset."
            )
        return train


class SearchTrainer(SearchMixin, Trainer):
    """A Trainer of transformers that searches before it trains; arguments and an example are in `SearchMixin`."""
