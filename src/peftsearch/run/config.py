"""The settings of a run: one dataclass, the same from YAML, flags and Python. No torch here."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import yaml

from peftsearch.errors import UnknownNameError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS, UNIFORM_LORA
from peftsearch.mirror import Mirror
from peftsearch.models.loading import DEVICE_MAPS, Loading, loading_of
from peftsearch.names import split_names
from peftsearch.searches.method import METHODS, Driver, MethodSettings
from peftsearch.settings import (
    SettingError,
    Settings,
    at_least,
    between,
    limited,
    one_of,
    require,
)
from peftsearch.space.budget import Budget, read_budgets
from peftsearch.space.presets import SPACES, Preset
from peftsearch.tasks.format_entry import AUTO, TASK_FORMATS
from peftsearch.tasks.metric_choice import read_metrics
from peftsearch.tasks.span_rules import MAX_ANSWER_LENGTH
from peftsearch.tasks.text_files import UTF_8
from peftsearch.training.settings import TrainingSettings, read_rates

# Settings that say how to start a run, not what it is; resuming may change them.
HOW_TO_START = (
    "output",
    "mirror",
    "resume",
    "overwrite",
    "dry_run",
    "verify",
    "workers",
    "ray_address",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
    "model_device_map",
    "shard_model",
)
SEED = between(0, 2**31 - 1)
# What searches unless the user names another method; docs/results.md says why.
DEFAULT_METHOD = "race"


@dataclass(frozen=True)
class RunConfig(Settings):
    """Settings of a run.

    Args:
        model: "demo", a folder, a .gguf file or a hub id.
        task: "glue/NAME", "superglue/NAME" or "demo"; see `peftsearch list tasks`.
        data: instead of a task, files "train.csv[,valid.csv[,test.csv]]" (csv, tsv, json, jsonl, parquet, conll; also
            .gz), a folder of pictures in class folders, or a hub id ("openai/gsm8k:main" with a configuration).
        text: text column(s) of `data`, comma-separated; by default text, tokens where a row is a list of words, source
            where an encoder-decoder writes texts, prompt or messages where a decoder learns to write, image or path of
            pictures.
        label: label column of `data`; by default label, tags where a row is a list of words, target or completion
            where texts are written. Several columns, comma-separated, hold a 0 or a 1 for each of several labels.
        label_separator: what stands between several labels in a cell of `data`, such as ';'.
        context_overlap: tokens that two windows of a long context share, where answers are spans of it; 0 for a third
            of the longest length.
        max_answer_length: tokens of the longest span that is given as an answer.
        task_format: of `data`, one of `peftsearch list task_formats`; auto recognises it by the columns, and says so.
        metric: of `data`, decides epochs, learning rates of a grid and what is handed over, which the validation loss
            decides without it; others after commas are reported.
            accuracy (the default of classes), balanced_accuracy, macro_f1, f1, roc_auc, matthews; pearson (the default
            of numbers), spearman, r2, rmse, mae; entity_f1 (the default of tags that mark spans), entity_precision,
            entity_recall, token_accuracy; label_micro_f1 (the default of several labels), label_macro_f1,
            mean_average_precision, subset_accuracy; span_f1 (the default of answers in a context), span_exact_match;
            loss (the default of texts to write and of language models), perplexity, next_token_accuracy; exact_text,
            final_number, rouge_l, chrf, which are computed on the test split alone unless one of them decides.
        goal: whether the labels of `data` are a classification or a regression; auto takes decimal numbers for a
            regression.
        group: column of `data` whose equal values never stand on two sides of a drawn split.
        drop_missing: leave out rows of `data` without a text or a label, and say how many.
        delimiter: between the cells of csv and tsv files, such as ';' or 'tab'; by default a comma and a tab.
        encoding: of text files, such as cp1252.
        data_dir: folder with NAME/{train,validation}.jsonl of GLUE and SuperGLUE, instead of the hub.
        budget: parameters (102600, 100k) or a share of the backbone (0.05%, 5bp); several, comma-separated, give a
            ladder: each is trained, and the smallest is the run's result.
        space: search space; see `peftsearch list spaces`. By default the one that the method was published with.
        method_name: see `peftsearch list methods`.
        method: settings of the method.
        configuration: what `train` trains: a file, a run folder, or a manual method of `peftsearch list methods`.
        output: run folder; by default runs/TASK-METHOD-BUDGET.
        mirror: a URL that keeps a copy of it, as s3://bucket/name (needs s3fs) or gs://, so that another machine can
            --resume.
        seed: of the split, the search and the first training.
        seeds: number of trainings, with seeds counted up from `seed`.
        max_train_samples: use only so many training examples; 0 for all.
        max_eval_samples: use only so many validation and so many test examples; 0 for all.
        inherit: start the training from the supernet's weights instead of fresh ones, for methods that train one; with
            `train --configuration RUN`, from the weights of that run's adapter.
        baseline: also train the hand recipes of `baselines`, each of at most the same budget.
        baselines: comma-separated manual methods that a search is trained beside, such as "uniform_lora,lnfit_lora".
        keep: "better" hands over the searched configuration or the strongest of the baselines, whichever is better
            on validation; "searched" always the searched one.
        random_baseline: also train a configuration drawn at random from the same space and budget.
        pareto: also train every configuration of the search's Pareto front of parameters and score; for methods that
            train whole configurations, such as autopeft.
        learning_rate_grid: comma-separated rates, of which each method gets its best on validation.
        resume: continue the run in the output folder; finished stages are not repeated.
        overwrite: delete the run in the output folder first.
        dry_run: check everything, show the plan and stop.
        push_to_hub: upload the finished run to the Hugging Face hub; needs `hub_model_id`.
        hub_model_id: name of the hub's repository, such as "me/my-adapter".
        hub_private_repo: make the repository private when it is created.
        verify: at the end, load, count and score the saved result once more in a new process.
        workers: trainings of a race that run at the same time; more than 1 needs ray.
        ray_address: a running ray cluster ("auto" finds it); without one, and without RAY_ADDRESS, this machine.
        quantization: how the frozen model is quantised: a JSON file, or the JSON itself, that transformers'
            AutoQuantizationConfig reads (docs/quantised.md); `training.load_in_4bit` and `load_in_8bit` are short for
            two of bitsandbytes.
        model_device_map: "auto", "balanced", "balanced_low_0" or "sequential": accelerate places the model's layers on
            all devices.
        shard_model: let each of several processes hold a part of the frozen model alone (docs/several_processes.md); a
            process that is alone holds all of it.
        training: settings of every training.
    """

    model: str
    task: str | None = None
    data: str | None = None
    text: str | None = None
    label: str | None = None
    label_separator: str = ""
    context_overlap: int = limited(0, at_least(0))
    max_answer_length: int = limited(MAX_ANSWER_LENGTH, at_least(1))
    task_format: str = AUTO
    metric: str = ""
    goal: str = limited("auto", one_of("auto", "classification", "regression"))
    group: str | None = None
    drop_missing: bool = False
    delimiter: str = ""
    encoding: str = UTF_8
    data_dir: str | None = None
    budget: str = ""
    space: str = ""
    method_name: str = DEFAULT_METHOD
    method: MethodSettings = field(default_factory=lambda: METHODS[DEFAULT_METHOD].settings())
    configuration: str | None = None
    output: str | None = None
    mirror: str = ""
    seed: int = limited(0, SEED)
    seeds: int = limited(1, at_least(1))
    max_train_samples: int = limited(0, at_least(0))
    max_eval_samples: int = limited(0, at_least(0))
    inherit: bool = False
    baseline: bool = True
    baselines: str = UNIFORM_LORA
    keep: str = limited("better", one_of("better", "searched"))
    random_baseline: bool = False
    pareto: bool = False
    learning_rate_grid: str = ""
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    push_to_hub: bool = False
    hub_model_id: str | None = None
    hub_private_repo: bool = False
    verify: bool = True
    workers: int = limited(1, at_least(1))
    ray_address: str = ""
    quantization: str = ""
    model_device_map: str = limited("", one_of(*DEVICE_MAPS))
    shard_model: bool = False
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        METHODS[self.method_name]
        self._check_space()
        for text in self.budget_texts:
            Budget.parse(text)
        super().__post_init__()
        require(not (self.resume and self.overwrite), "resume", True, "only without --overwrite")
        require_folder(self.output or "")
        needed = "given with push_to_hub, such as 'me/my-adapter'"
        require(not self.push_to_hub or bool(self.hub_model_id), "hub_model_id", self.hub_model_id, needed)
        driver = METHODS[self.method_name].driver
        has_front = driver is Driver.TRIALS
        require(has_front or not self.pareto, "pareto", True, f"false with the method '{self.method_name}'")
        # A race too, the default: trainings inherit without any search, and searches are checked when they start.
        trains_weights = driver in (Driver.GATES, Driver.INHERITED, Driver.GROWTH, Driver.RACE)
        require(trains_weights or not self.inherit, "inherit", True, f"false with the method '{self.method_name}'")
        is_race = driver is Driver.RACE
        require(is_race or self.workers == 1, "workers", self.workers, f"1 with the method '{self.method_name}'")
        self.learning_rates  # noqa: B018  reads them
        read_metrics(self.metric)
        if self.task_format != AUTO:
            TASK_FORMATS[self.task_format]
        is_whole = not (self.loading.quantises or self.loading.device_map)
        require(is_whole or not self.shard_model, "shard_model", True, "left out where a model is quantised or mapped")
        self._check_baselines()

    def _check_space(self) -> None:
        """Refuse a space whose choices are tied in a way that the method cannot search."""
        entry, encoding = METHODS[self.method_name], SPACES[self.space_name].encoding
        if entry.is_search and encoding not in entry.encodings:
            searchable = [name for name in SPACES if SPACES[name].encoding in entry.encodings]
            raise SettingError(
                f"The method '{self.method_name}' cannot search the space '{self.space_name}'. "
                f"It can search: {', '.join(searchable)}."
            )

    def _check_baselines(self) -> None:
        names = split_names(self.baselines)
        for name in names:
            if name not in MANUAL_METHODS:
                raise UnknownNameError("baseline", name, MANUAL_METHODS)
        require(len(set(names)) == len(names), "baselines", self.baselines, "names that differ")
        is_asked = self.baseline or self.baselines == UNIFORM_LORA
        require(is_asked, "baselines", self.baselines, "left out with --baseline false")

    @property
    def space_name(self) -> str:
        """The space as given, or the method's own."""
        return self.space or METHODS[self.method_name].space

    @property
    def preset(self) -> Preset:
        """The space, with the ranks that the method chooses among."""
        preset = SPACES[self.space_name]
        return replace(preset, ranks=self.method.candidate_ranks(preset.ranks))

    @property
    def budget_texts(self) -> list[str]:
        """The requested budgets, as written."""
        return read_budgets(self.budget)

    @property
    def baseline_names(self) -> list[str]:
        """The manual methods that a search is trained beside, in the order given."""
        return split_names(self.baselines) if self.baseline else []

    @property
    def has_uniform_lora(self) -> bool:
        """Whether uniform LoRA is trained beside a search, and beside each step of a ladder."""
        return UNIFORM_LORA in self.baseline_names

    @property
    def learning_rates(self) -> list[float]:
        """The grid of rates, or the one rate of the training settings; empty where each training finds its own."""
        return read_rates(self.learning_rate_grid) or self.training.given_rates

    @property
    def loading(self) -> Loading:
        """How the pretrained model is loaded."""
        return loading_of(
            in_4bit=self.training.load_in_4bit,
            in_8bit=self.training.load_in_8bit,
            quantization=self.quantization,
            device_map=self.model_device_map,
        )

    @property
    def tracked_name(self) -> str:
        """Name of the run in trackers: the last three parts of the output folder."""
        return "-".join(Path(self.output_folder).parts[-3:]).strip("/\\-.")

    @property
    def output_folder(self) -> str:
        """The run folder."""
        if self.output:
            return self.output
        what = (self.task or Path((self.data or "data").split(",")[0]).stem).replace("/", "-")
        parts = [what, self.method_name, *([self.budget.replace("%", "pct").replace(",", "-")] if self.budget else [])]
        return str(Path("runs") / "-".join(parts))

    @property
    def copy(self) -> Mirror:
        """The copy of the run folder; without `mirror` there is none, and nothing is ever copied."""
        return Mirror(Path(self.output_folder), self.mirror)

    def to_yaml(self) -> str:
        """The settings as a file for `--config`."""
        document = {name: value for name, value in asdict(self).items() if name not in HOW_TO_START}
        document["method"] = {"name": document.pop("method_name"), **document["method"]}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def require_folder(output: str) -> None:
    """Refuse a URL as the folder to write to.

    Raises:
        SettingError: if it is one.
    """
    require("://" not in output, "output", output, "a folder here; give --mirror the URL that keeps a copy of it")
