"""The subcommands of `peftsearch`: each reads its flags, and imports what it needs after that."""

import json
from collections.abc import Callable
from pathlib import Path

from peftsearch.cli.parser import CommandParser, refuse_token
from peftsearch.environment import index_launched
from peftsearch.messages import quieten_libraries
from peftsearch.settings import require
from peftsearch.space.presets import DEFAULT_SPACE


def _search(argv: list[str]) -> int:
    return _run("search", argv)


def _train(argv: list[str]) -> int:
    return _run("train", argv)


def _run(command: str, argv: list[str]) -> int:
    from peftsearch.cli.flags import parse_run

    config = parse_run(command, argv)
    quieten_libraries()
    if config.dry_run and index_launched():
        return 0
    from peftsearch.run import pipeline
    from peftsearch.training import stop_signals

    if config.dry_run:
        from peftsearch.run import dry_run

        print({"search": dry_run.describe_search, "train": dry_run.describe_train}[command](config))
        return 0
    with stop_signals.handle_signals():
        folder = {"search": pipeline.run_search, "train": pipeline.run_train}[command](config)
    if index_launched():
        return 0
    from peftsearch.report.run.summary import print_summary

    print_summary(folder)
    return 0


def _compare(argv: list[str]) -> int:
    from peftsearch.cli.flags import parse_compare

    config = parse_compare(argv)
    quieten_libraries()
    from peftsearch.comparison import comparison
    from peftsearch.report.comparison.text import as_text
    from peftsearch.training import stop_signals

    if config.dry_run:
        print(comparison.describe(config))
        return 0
    with stop_signals.handle_signals():
        found = comparison.run_compare(config)
    print(as_text(found), end="")
    print(f"Comparison: {config.folder} (comparison.html, .md, .csv, .json, .txt)")
    return 1 if any(row.errors for row in found.rows) else 0


def _evaluate(argv: list[str]) -> int:
    parser = CommandParser("evaluate", "Score a finished run.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--model", default="", help="the pretrained model, if it is not where the run says")
    parser.add_argument("--data", default="", help="the data files, if they are not where the run says")
    parser.add_argument("--data_dir", default="", help="the folder of GLUE and SuperGLUE, likewise")
    arguments = parser.parse_args(argv)
    quieten_libraries()
    from peftsearch.run.origin import Places
    from peftsearch.run.pipeline import run_evaluate

    places = Places(arguments.model, arguments.data, arguments.data_dir)
    print(json.dumps(run_evaluate(arguments.run, arguments.split, places), indent=2))
    return 0


def _predict(argv: list[str]) -> int:
    parser = CommandParser("predict", "Write a run's answers for new rows; with probabilities where it knows classes.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="csv, tsv, json, jsonl, parquet, conll, or a folder of pictures; needs no labels",
    )
    parser.add_argument("--output", default="-", help=".csv, .tsv, .jsonl or .parquet file; '-' is standard output")
    parser.add_argument("--text", default="", help="text columns, if they are called otherwise than in training")
    parser.add_argument(
        "--delimiter", default="", help="of a csv, tsv or conll file, as ';' or tab; else the run's own"
    )
    parser.add_argument("--encoding", default="", help="of a text file; else UTF-8 if it is that, or the run's own")
    parser.add_argument("--batch_size", type=int, default=0, help="rows of a pass; 0 takes the run's own")
    parser.add_argument("--max_new_tokens", type=int, default=0, help="of a text to write; 0 takes the run's own")
    parser.add_argument("--model", default="", help="the pretrained model, if it is not where the run says")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    arguments = parser.parse_args(argv)
    quieten_libraries()
    from peftsearch.run.predict import PredictionRequest, predict_to

    given = vars(arguments)
    output, overwrite = given.pop("output"), given.pop("overwrite")
    output = None if output == "-" else Path(output)
    found = predict_to(PredictionRequest(**given), output, overwrite=overwrite)
    cut = f", of which longer than the limit and cut: {found.num_truncated:,}" if found.num_truncated else ""
    if output is not None:
        print(f"{output}: {len(found.rows):,} rows{cut}")
    return 0


def _report(argv: list[str]) -> int:
    parser = CommandParser("report", "Write the page of a run or of a comparison again; of an unfinished one, so far.")
    parser.add_argument("run", type=Path, help="folder of a run or of a comparison")
    folder = parser.parse_args(argv).run
    quieten_libraries()
    if (folder / "comparison.json").is_file():
        from peftsearch.comparison.comparison import read_comparison
        from peftsearch.report.comparison.page import write_comparison

        print(write_comparison(read_comparison(folder), folder))
        return 0
    from peftsearch.report.run.html import write_report

    print(write_report(folder))
    return 0


def _push(argv: list[str]) -> int:
    parser = CommandParser("push", "Upload a finished run to the Hugging Face hub.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--hub_model_id", required=True, help="name of the repository, such as me/my-adapter")
    parser.add_argument("--hub_private_repo", action="store_true", help="make it private when it is created")
    refuse_token(argv)
    arguments = parser.parse_args(argv)
    quieten_libraries()
    from peftsearch.run.hub import push_run

    print(push_run(arguments.run, arguments.hub_model_id, private=arguments.hub_private_repo))
    return 0


def _export(argv: list[str]) -> int:
    parser = CommandParser("export", "Write a run's result, or an adapter, in a format that other tools load.")
    parser.add_argument("run", type=Path, help="run folder, or folder of an adapter")
    parser.add_argument("--format", required=True, help="see `peftsearch list exports`")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--model", default="", help="the pretrained model, if it is not where the run says")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    arguments = parser.parse_args(argv)
    quieten_libraries()
    from peftsearch.run.export import run_export

    found = run_export(**vars(arguments))
    equal = "" if found.difference is None else f", outputs equal within {found.difference:.1g}"
    print(f"{found.folder}: {found.format}{equal}")
    for note in found.notes:
        print(note)
    return 0


def _plan(argv: list[str]) -> int:
    parser = CommandParser("plan", "Sites, space and budget of a model, no weights.")
    parser.add_argument("--model", required=True, help="'demo', a folder (config.json is enough), .gguf or a hub id")
    parser.add_argument("--space", default=DEFAULT_SPACE, help="see `peftsearch list spaces`")
    parser.add_argument("--budget", default="", help="one or several, as for search")
    parser.add_argument("--per_device_train_batch_size", type=int, default=32, help="for the memory, as below")
    parser.add_argument("--max_seq_length", type=int, default=128, help="tokens of an example")
    parser.add_argument("--gradient_checkpointing", action="store_true", help="as in a training")
    parser.add_argument("--load_in_4bit", action="store_true", help="as in a training")
    parser.add_argument("--load_in_8bit", action="store_true", help="as in a training")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    size, tokens = arguments.per_device_train_batch_size, arguments.max_seq_length
    require(size >= 1, "per_device_train_batch_size", size, "1 or more")
    require(tokens >= 1, "max_seq_length", tokens, "1 or more")
    quieten_libraries()
    from peftsearch.models.loading import loading_of
    from peftsearch.run.memory import Batches
    from peftsearch.run.plan import plan, print_plan

    loading = loading_of(in_4bit=arguments.load_in_4bit, in_8bit=arguments.load_in_8bit)
    batches = Batches(size, tokens, arguments.gradient_checkpointing, loading)
    found = plan(arguments.model, space=arguments.space, budget=arguments.budget, batches=batches)
    print(json.dumps(found.to_dict(), indent=2)) if arguments.json else print_plan(found)
    return 0


def _list(argv: list[str]) -> int:
    from peftsearch.cli.listing import LISTINGS, describe

    parser = CommandParser("list", "List what can be chosen.")
    parser.add_argument("what", help=", ".join(LISTINGS))
    print(describe(parser.parse_args(argv).what))
    return 0


def _doctor(argv: list[str]) -> int:
    CommandParser("doctor", "Check the installation.").parse_args(argv)
    from peftsearch.cli.doctor import run_doctor

    return run_doctor()


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "search": _search,
    "train": _train,
    "compare": _compare,
    "evaluate": _evaluate,
    "predict": _predict,
    "report": _report,
    "push": _push,
    "export": _export,
    "plan": _plan,
    "list": _list,
    "doctor": _doctor,
}
