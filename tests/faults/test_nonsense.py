"""Generated nonsense in every file and flag: success, or an error of ours with exit code 2 that leaves nothing behind.

A few cases of each sort run with the default suite, PEFTSEARCH_FUZZ_CASES of each in `make test-faults`.
"""

import gzip
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from peft import PeftConfig

from peftsearch import train
from peftsearch.cli.main import main
from peftsearch.modules.peft_module import KINDS
from peftsearch.run.config import RunConfig
from peftsearch.searches.method import METHODS
from peftsearch.testing.tiny_models import save_tiny, tiny_tokenizer
from peftsearch.training.settings import TrainingSettings

CASES = int(os.environ.get("PEFTSEARCH_FUZZ_CASES", "10"))
MANY = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    # Shrinking a failure would run hundreds of further cases.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Seconds; a case takes a tenth of a second.
PATIENCE = 60.0

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -1, 0, 2**31, 2**63]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["..", "/etc/passwd", "../../x", "0.1%", "1e400", "nan", "bipeft", "lora", "\x00", "\ud800", "a" * 9999]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a tiny model, its data and a trained adapter; the output is a folder that no case may make."""
    folder = tmp_path_factory.mktemp("nonsense")
    save_tiny("bert", folder / "model")
    rows = "".join(f"{word} film,{label}\n" for word, label in [("good", "up"), ("bad", "down")] * 20)
    (folder / "train.csv").write_text("review,stars\n" + rows)
    train(**given_settings(folder), configuration="lora", method={}, output=str(folder / "run"), verify=False)
    return folder


def given_settings(folder: Path) -> dict:
    data = {"data": str(folder / "train.csv"), "text": "review", "label": "stars"}
    return {"model": str(folder / "model"), "budget": "600", **data, "training": {"num_train_epochs": 1}}


def tried(argv: list[str], place: Path, capsys) -> int:
    """Exit code of a command that must not leave anything behind unless it succeeds."""
    before, started = sorted(place.iterdir()), time.monotonic()
    code = main(argv)
    said = capsys.readouterr().err
    assert code in (0, 2), f"{argv}: {code}\n{said}"
    assert code == 0 or said.startswith("peftsearch: "), said
    assert time.monotonic() - started < PATIENCE
    made = [path for path in place.iterdir() if path not in before]
    assert code == 0 or not made, made
    for path in made:
        shutil.rmtree(path)
    return code


def dry(command: str, folder: Path, *more: str) -> list[str]:
    plain = given_settings(folder)
    flags = [f"--{name}={plain[name]}" for name in ("model", "data", "text", "label", "budget")]
    return [command, *flags, f"--output={folder / 'output'}", *more, "--dry_run"]


def encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


run_keys = st.sampled_from([*RunConfig.__dataclass_fields__, "method.name"]) | st.text(max_size=8)
training_keys = st.sampled_from(list(TrainingSettings.__dataclass_fields__)) | st.text(max_size=8)


@MANY
@given(
    changes=st.dictionaries(run_keys, values, max_size=3),
    training=st.dictionaries(training_keys, values, max_size=2) | values,
    method=st.sampled_from(list(METHODS)) | values,
)
def test_settings_of_a_file(place, capsys, changes, training, method):
    document = given_settings(place) | {"training": training, "method": method} | changes
    document |= {"output": str(place / "output"), "dry_run": True, "push_to_hub": False}
    path = place / "model" / "settings.yaml"
    path.write_bytes(encoded(json.dumps(document)))
    tried(["search", "--config", str(path), "--dry_run"], place, capsys)


@MANY
@given(cuts=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), min_size=1, max_size=4))
def test_settings_of_a_damaged_file(place, capsys, cuts):
    data = yaml.safe_dump(given_settings(place) | {"output": str(place / "output")}).encode()
    for position, bytes_ in cuts:
        data = data[:position] + bytes_ + data[position + 1 :]
    path = place / "model" / "settings.yaml"
    path.write_bytes(data)
    tried(["search", "--config", str(path), "--dry_run"], place, capsys)


flag_names = st.sampled_from(
    [f"--{name}" for name in RunConfig.__dataclass_fields__ if name not in ("output", "dry_run", "push_to_hub")]
    + [f"--training.{name}" for name in TrainingSettings.__dataclass_fields__]
    + ["--method.name", "--config", "--learning_rate", "--rank", "--nonsense", "--", "-x", ""]
)


@MANY
@given(
    command=st.sampled_from(["search", "train"]),
    flags=st.lists(st.tuples(flag_names, scalars.map(str), st.booleans()), max_size=3),
)
def test_flags(place, capsys, command, flags):
    given_flags = [
        part for name, value, joined in flags for part in ([f"{name}={value}"] if joined else [name, value])
    ]
    tried([*dry(command, place), *given_flags, "--dry_run"], place, capsys)


choices = st.fixed_dictionaries(
    {"site": st.sampled_from(["encoder.0.query", "encoder.1.ffn_norm", "..", ""]) | values},
    optional={
        "kind": st.sampled_from([*KINDS, "os.system"]) | values,
        "rank": st.sampled_from([1, 0, -1, 10**9, True, 1.5]) | values,
        "extra": values,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "schema_version": st.sampled_from([1, 1, 2, "1"]) | values,
        "choices": st.lists(choices | values, max_size=4) | values,
    },
)


@MANY
@given(document=documents | values, end=st.integers(0, 3000))
def test_configurations(place, capsys, document, end):
    path = place / "model" / "found.json"
    path.write_bytes(encoded(json.dumps(document))[: end + 1])
    tried(dry("train", place, "--configuration", str(path)), place, capsys)


@MANY
@given(
    changes=st.dictionaries(
        st.sampled_from(
            [
                "sites",
                "inputs",
                "roles",
                "target_modules",
                "modules_to_save",
                "schema_version",
                "peft_type",
                "task_type",
                "base_model_name_or_path",
                "auto_mapping",
                "revision",
                "provenance",
            ]
        ),
        values,
        max_size=2,
    ),
    ranks=st.dictionaries(
        st.sampled_from([*KINDS, "os.system", ".."]), st.sampled_from([1, 2, 10**9, -1]) | values, max_size=2
    ),
)
def test_adapters(place, capsys, changes, ranks):
    adapter = place / "model" / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    shutil.copytree(place / "run" / "adapter", adapter)
    document = json.loads((adapter / "adapter_config.json").read_text())
    site = next(iter(document["sites"]))
    document["sites"][site] = document["sites"][site] | ranks
    (adapter / "adapter_config.json").write_bytes(encoded(json.dumps(document | changes)))
    model = ["--model", str(place / "model")]
    tried(["export", str(adapter), "--format", "merged", "--output", str(place / "output"), *model], place, capsys)


cells = st.sampled_from(
    ["up", "down", "", " ", '"', '"a', 'a"b', "1", "1.5", "nan", "NA", "\x00", "é", "a,b", "a\nb", "x" * 5000]
) | st.text(max_size=9)


@MANY
@given(
    header=st.sampled_from(
        ["review,stars", "review,stars,stars", "review", "stars,review", "", "review;stars", '"review,stars']
    ),
    rows=st.lists(st.tuples(cells, cells), max_size=12),
    quoted=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    suffix=st.sampled_from([".csv", ".tsv", ".CSV", ".txt"]),
)
def test_tables(place, capsys, header, rows, quoted, encoding, suffix):
    path = place / "model" / f"data{suffix}"
    lines = [header, *(",".join(json.dumps(cell) if quoted else cell for cell in row) for row in rows)]
    path.write_bytes("\n".join(lines).encode(encoding, errors="replace"))
    tried([*dry("search", place), f"--data={path}", "--dry_run"], place, capsys)


@MANY
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {}, optional={"review": scalars | values, "stars": st.sampled_from(["up", "down", 1, 2]) | values}
        )
        | values,
        max_size=12,
    ),
    end=st.integers(0, 5000),
    suffix=st.sampled_from([".jsonl", ".json", ".parquet"]),
)
def test_json_rows(place, capsys, rows, end, suffix):
    path = place / "model" / f"data{suffix}"
    text = "\n".join(map(json.dumps, rows)) if suffix == ".jsonl" else json.dumps(rows)
    path.write_bytes(encoded(text)[: end + 1])
    tried([*dry("search", place), f"--data={path}", "--dry_run"], place, capsys)


soup = st.lists(
    st.sampled_from(
        ['"', '""', ",", ";", "\t", "\n", "\r", "\\", " ", "\ufeff", "\u2028", "a", "é", "NA", "1", "1.0"]
    ),
    max_size=8,
).map("".join)
data_flags = st.fixed_dictionaries(
    {},
    optional={
        "delimiter": st.sampled_from([";", "tab", "\\t", "|", '"', "", "ab", "\n"]),
        "encoding": st.sampled_from(["utf-8", "utf-16", "cp1252", "shift_jis", "idna", "undefined", "nothing", ""]),
        "goal": st.sampled_from(["classification", "regression", "auto", "ranking"]),
        "group": st.sampled_from(["review", "stars", "author", "nobody", ""]),
        "drop_missing": st.sampled_from(["true", "false"]),
        "max_eval_samples": st.sampled_from(["1", "0", "-1", "999999"]),
    },
)


@MANY
@given(
    lines=st.lists(st.lists(soup, max_size=5), max_size=12),
    flags=data_flags,
    mark=st.sampled_from([",", ";", "\t"]),
    suffix=st.sampled_from([".csv", ".tsv", ".csv.gz", ".tsv.gz", ".gz", ".parquet.gz"]),
    end=st.integers(0, 2000),
)
def test_ragged_tables_and_soup_of_marks(place, capsys, lines, flags, mark, suffix, end):
    path = place / "model" / f"data{suffix}"
    good = [[f"film {i}", ("up", "down")[i % 2], str(i // 4)] for i in range(40)]
    text = "\n".join(mark.join(cells) for cells in [["review", "stars", "author"], *lines, *good])
    whole = encoded(text)
    path.write_bytes(gzip.compress(whole)[: end + 1] if suffix.endswith(".gz") else whole[: end + 1])
    given_flags = [f"--{name}={value}" for name, value in flags.items()]
    tried([*dry("search", place), f"--data={path}", *given_flags, "--dry_run"], place, capsys)


json_labels = st.lists(
    st.sampled_from([1, 1.0, "1", True, "true", None, "", " ", [1], {}, 0, -0.0, 10**400, 1e308, 5e-324]) | values,
    min_size=1,
    max_size=4,
)


@MANY
@given(labels=json_labels, flags=data_flags, suffix=st.sampled_from([".json", ".jsonl", ".jsonl.gz", ".json.gz"]))
def test_labels_of_every_json_type(place, capsys, labels, flags, suffix):
    path = place / "model" / f"data{suffix}"
    rows = [{"review": f"film {i}", "stars": labels[i % len(labels)], "author": i // 4} for i in range(40)]
    text = encoded("\n".join(map(json.dumps, rows)) if ".jsonl" in suffix else json.dumps(rows))
    path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    given_flags = [f"--{name}={value}" for name, value in flags.items()]
    tried([*dry("search", place), f"--data={path}", *given_flags, "--dry_run"], place, capsys)


@MANY
@given(
    config=st.dictionaries(
        st.sampled_from(["vocab_size", "pad_token_id", "hidden_size", "num_hidden_layers", "max_position_embeddings"])
        | st.sampled_from(["num_labels", "id2label", "problem_type", "model_type", "architectures", "dtype"]),
        st.sampled_from([0, 1, -1, 7, 250, 301, 10**9, "bert", "llama", "t5", "regression", "float16"]) | values,
        max_size=2,
    ),
    tokenizer=st.dictionaries(
        st.sampled_from(["pad_token", "eos_token", "model_max_length", "tokenizer_class", "added_tokens_decoder"]),
        st.sampled_from([0, 1, 4, -1, "<pad>", "<new>", None, "BertTokenizer"]) | values,
        max_size=2,
    ),
    num_added=st.sampled_from([0, 0, 1, 500]),
    missing=st.sampled_from(["", "", "tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"]),
)
def test_tokenizers_and_models_that_do_not_fit(place, capsys, config, tokenizer, num_added, missing):
    folder = place / "model" / "odd"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place / "model", folder, ignore=shutil.ignore_patterns("odd", "adapter", "data*", "*.yaml"))
    if num_added:
        tokens = tiny_tokenizer()
        tokens.add_tokens([f"<word {i}>" for i in range(num_added)])
        tokens.save_pretrained(folder)
    for name, changes in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        document = json.loads((folder / name).read_text()) | changes
        (folder / name).write_bytes(encoded(json.dumps(document)))
    if missing:
        (folder / missing).unlink()
    tried([*dry("search", place), f"--model={folder}", "--dry_run"], place, capsys)


def test_a_million_rows_of_labels_only(place, capsys):
    path = place / "model" / "labels.csv"
    path.write_text("stars\n" + "up\ndown\n" * 500_000)
    assert tried([*dry("search", place), f"--data={path}", "--dry_run"], place, capsys) == 2


ENDLESS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n" for before, now in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        ENDLESS + "model: *i\n",
        ENDLESS + "training: *i\n",
        "!!python/object/apply:os.system ['true']\n",
        "x: " + "y" * 2_000_000,
    ],
    ids=["deep", "endless", "endless_group", "code", "large"],
)
def test_crafted_settings_are_refused_at_once(place, capsys, text):
    path = place / "model" / "settings.yaml"
    path.write_text(text)
    assert tried(["search", "--config", str(path), "--dry_run"], place, capsys) == 2


@pytest.mark.parametrize(
    "document", ["[" * 10**6, '{"choices": ' * 10**5, '{"schema_version": 1, "choices": [' + "1," * 10**7 + "1]}"]
)
def test_crafted_configurations_are_refused_at_once(place, capsys, document):
    path = place / "model" / "found.json"
    path.write_text(document)
    assert tried(dry("train", place, "--configuration", str(path)), place, capsys) == 2


@pytest.mark.parametrize("size", [257, 10**9])
def test_a_rank_beyond_every_width_allocates_nothing(place, size):
    from peftsearch.errors import ConfigurationError
    from peftsearch.modules.saved_adapter import load_adapter
    from peftsearch.testing.tiny_models import TINY

    adapter = place / "model" / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    shutil.copytree(place / "run" / "adapter", adapter)
    document = json.loads((adapter / "adapter_config.json").read_text())
    document["sites"] = {"bert.encoder.layer.0.attention.self.query": {"lora": size}}
    (adapter / "adapter_config.json").write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match="largest width"):
        load_adapter(TINY["bert"](), adapter, name="tiny")
    assert PeftConfig.from_pretrained(adapter).sites
