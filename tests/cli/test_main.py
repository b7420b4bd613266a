"""The commands as a user types them: what they print, what they refuse, how they exit."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from transformers import T5Config

from peftsearch.cli.flags import parse_run
from peftsearch.cli.main import main


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_plan_of_t5_large_needs_its_config_alone(capsys, tmp_path):
    config = T5Config(
        vocab_size=32128, d_model=1024, d_ff=4096, d_kv=64, num_heads=16, num_layers=24, num_decoder_layers=24
    )
    config.save_pretrained(tmp_path)
    code, out, _ = run(
        capsys, "plan", "--model", str(tmp_path), "--space", "s2", "--budget", "102600,1.39bp", "--json"
    )
    plan = json.loads(out)
    assert code == 0
    assert plan["backbone_parameters"] == 737_668_096
    assert plan["modules"] == 916
    assert plan["modules_by_kind"] == {"bitfit": 410, "lnfit": 122, "lora": 288, "low_rank_adapter": 96}
    assert plan["supernet_parameters"] == 9_493_504
    assert plan["supernet_parameters_by_rank"] == {"1": 1_881_088, "4": 5_143_552, "8": 9_493_504}
    assert plan["budgets"] == {"102600": 102_600, "1.39bp": 102_535}
    assert plan["budget_parameters"] == 102_535


def test_plan_shows_sites_by_role(capsys):
    code, out, _ = run(capsys, "plan", "--model", "demo", "--budget", "2bp")
    assert code == 0 and "22,713,216" in out and "4,542 parameters" in out and "encoder value" in out


@pytest.mark.parametrize(
    "what,name",
    [
        ("methods", "bipeft"),
        ("kinds", "lnfit"),
        ("spaces", "s3delta_l"),
        ("tasks", "glue/rte"),
        ("task_formats", "tokens"),
        ("families", "t5"),
        ("exports", "servable"),
    ],
)
def test_list_names_everything(capsys, what, name):
    code, out, _ = run(capsys, "list", what)
    assert code == 0 and name in out


def test_doctor_finds_what_is_needed(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0, out
    assert "All that is needed is there" in out


COMMON = ["--model", "demo", "--task", "demo", "--budget", "1%"]


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["serach"], "Did you mean 'search'"),
        (["search", "--task", "demo", "--budget", "1%"], "model"),
        (["search", *COMMON, "--budgt", "1%"], "Did you mean --budget"),
        (["search", *COMMON, "--lerning_rate", "1"], "Did you mean --learning_rate?"),
        (["train", *COMMON, "--configurat", "lora"], "Did you mean --configuration?"),
        (["search", *COMMON, "--config"], "--config: expected one argument. See"),
        (["search", *COMMON, "--method", "bipfet"], "Did you mean 'bipeft'"),
        (["search", *COMMON, "--rank", "4"], "--rank belongs to manual methods"),
        (["train", *COMMON, "--configuration", "x.json", "--roles", "query"], "--roles belongs to manual methods"),
        (
            ["train", *COMMON, "--configuration", "random"],
            "Use `peftsearch search --method random`",
        ),
        (["search", *COMMON, "--space", "s4"], "Unknown space 's4'"),
        (["search", *COMMON, "--seed", "x"], "seed"),
        (["search", *COMMON, "--seeds", "0"], "seeds is 0, but must be 1 or more"),
        (["search", *COMMON, "--learning_rate_grid", "fast"], "must be numbers"),
        (["search", *COMMON, "--resume", "--overwrite"], "only without --overwrite"),
        (["search", "--model", "demo", "--task", "glue/rtee", "--budget", "1%"], "Did you mean 'glue/rte'"),
        (["search", "--model", "demo", "--task", "demo", "--budget", "0"], "above 0"),
        (["search", "--model", "demo", "--task", "demo", "--budget", "383"], "384 parameters"),
        (["search", "--model", "nowhere", "--task", "demo", "--budget", "1%"], "Cannot load the model 'nowhere'"),
        (["search", "--config", "nothing.yaml"], "nothing.yaml"),
        (["train", "--model", "demo", "--task", "demo", "--configuration", "nothing.json"], "nothing.json"),
        (["train", *COMMON, "--configuration", "lora", "--rank", "99"], "above the budget"),
        (["train", *COMMON[:4], "--configuration", "lora", "--roles", "qurey"], "Did you mean 'query'"),
        (["train", *COMMON[:4], "--configuration", "lora", "--roles", "cross_query"], "no role 'cross_query'"),
        (["evaluate", "nowhere"], "nowhere"),
        (["evaluate", "nowhere", "--splt", "test"], "Did you mean --split?"),
        (["predict", "nowhere", "--data", "new.csv"], "Cannot read 'nowhere/results.json'"),
        (["predict", "nowhere"], "required: --data"),
        (["predict", "nowhere", "--data", "new.csv", "--batch_size", "-1"], "batch_size is -1, but must be 0 or more"),
        (["list", "spces"], "Did you mean 'spaces'?"),
        (["plan"], "required: --model. See `peftsearch plan --help`"),
        (["report", "nowhere"], "is not a run folder"),
        (["export", "nowhere", "--format", "lora", "--output", "out"], "neither a finished run"),
        (["export", "nowhere", "--format", "lorra", "--output", "out"], "Did you mean 'lora'?"),
        (["export", "nowhere", "--format", "lora"], "required: --output"),
        (["plan", "--model", "demo", "--budget", "lots"], "Cannot read the budget"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err and "Traceback" not in err
    assert not any(tmp_path.iterdir()), "nothing half-written is left behind"


def test_flags_override_the_file_wherever_they_stand(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("model: demo\ntask: demo\nbudget: 5bp\nmethod: bipeft\nseed: 3\n")
    for arguments in (["--budget", "2bp", "--config", "run.yaml"], ["--config", "run.yaml", "--budget", "2bp"]):
        code, out, _ = run(capsys, "search", *arguments, "--dry_run")
        assert code == 0 and "2bp: 4,542 parameters" in out and "runs/demo-bipeft-2bp" in out
    assert not (tmp_path / "runs").exists()


def test_the_limits_of_texts_need_no_prefix():
    config = parse_run("search", [*COMMON, "--max_new_tokens", "8", "--max_target_length", "16"])
    assert (config.training.max_new_tokens, config.training.max_target_length) == (8, 16)


def test_a_switch_needs_no_value():
    config = parse_run("search", [*COMMON, "--training.gradient_checkpointing", "--resume", "--baseline", "false"])
    assert config.training.gradient_checkpointing and config.resume and not config.baseline


def test_an_unknown_key_of_the_file_is_named(capsys, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: demo\nbudgte: 1%\n")
    code, _, err = run(capsys, "search", "--config", str(path))
    assert code == 2 and "budgte" in err


def test_a_run_from_the_command_line_can_be_repeated_from_its_own_config(capsys, settings, tmp_path):
    chosen = settings()
    flags = [f"--{name}={chosen[name]}" for name in ("model", "data", "text", "label", "budget", "output")]
    flags += [
        "--method",
        "bipeft",
        "--method.max_triggers",
        "3",
        "--num_train_epochs",
        "1",
        "--training.max_seq_length",
        "32",
    ]
    flags += ["--verify", "false"]
    code, out, _ = run(capsys, "search", *flags)
    assert code == 0 and "uniform LoRA" in out and chosen["output"] in out.replace("\n", "")
    again = ["--config", f"{chosen['output']}/config.yaml", "--output", str(tmp_path / "again"), "--verify=false"]
    assert run(capsys, "search", *again)[0] == 0
    first, second = (tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("run", "again"))
    assert first.read_bytes() == second.read_bytes()
    code, out, _ = run(capsys, "evaluate", chosen["output"], "--split", "validation")
    assert code == 0 and "accuracy" in json.loads(out)
    code, out, _ = run(capsys, "report", chosen["output"])
    assert code == 0 and out.strip().endswith("report.html")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["evaluate", "--help"],
        ["list", "kinds"],
        ["doctor"],
        ["plan", "--model", "demo"],
        ["plan", "--model", "demo", "--json"],
        ["search", *COMMON, "--dry_run"],
    ],
)
def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(arguments, monkeypatch, capfd):
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writing, "w"))
    assert main(arguments) == 141  # 128 and the number of SIGPIPE, as of other commands
    sys.stdout.close()
    assert capfd.readouterr().err.strip() == ""


def test_a_long_help_of_which_only_the_first_lines_are_read_ends_without_a_traceback(monkeypatch, capfd):
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writing, "w"))
    # Python's own parser drops what it cannot write.
    with pytest.raises(SystemExit) as ended:
        main(["search", "--help"])
    assert ended.value.code == 0 and capfd.readouterr().err.strip() == ""


def test_python_m_peftsearch_is_the_command():
    command = [sys.executable, "-m", "peftsearch"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{version('peftsearch')}\n")
    closed = subprocess.Popen([*command, "list", "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    closed.stdout.close()
    assert closed.wait() == 141 and closed.stderr.read() == b""


@pytest.mark.parametrize("command", ["compare", "evaluate", "export", "plan", "report", "push"])
def test_one_of_several_processes_is_refused_by_what_works_in_one_on_every_rank(
    command, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for rank in range(2):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))
        code, _, err = run(capsys, command, *COMMON)
        assert code == 2 and "This is one of 2 processes (WORLD_SIZE=2" in err
        assert not any(tmp_path.iterdir())


def test_one_process_of_a_launcher_is_alone(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert run(capsys, "plan", "--model", "demo")[0] == 0
