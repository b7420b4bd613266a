"""What installed packages add by entry points, in processes of their own."""

import subprocess
import sys

import pytest
from installed_package import install

from peftsearch import search
from peftsearch.errors import TrainingError, UnknownNameError
from peftsearch.kinds import KINDS
from peftsearch.registry import Registry
from peftsearch.run import finish
from peftsearch.run.verify import verify
from peftsearch.spaces import SPACES

SPACE = """
from peftsearch.spaces import LINEAR_ROLES, Preset, register_space

register_space(Preset("{name}", "for this test", {{"{kind}": LINEAR_ROLES}}, (1,), "nowhere"))
"""
KIND = """
import torch
from torch import nn

from peftsearch.kinds import UNMASKED, PeftModule, layer_widths, register_kind


@register_kind
class Shift(PeftModule):
    kind, description, source = "shift", "a second bias", "nowhere"

    def __init__(self, base_layer, rank=1):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(layer_widths(base_layer)[1]))

    @classmethod
    def fits(cls, site):
        return not site.role.is_norm

    @classmethod
    def num_parameters(cls, site, rank):
        return site.out_width

    def forward(self, x, y, mask=UNMASKED):
        return y + (self.shift if mask.gate is None else mask.gate * self.shift)
"""
PROJECT = """
[project]
name = "{name}"
version = "1.0"

[project.entry-points]
"""


def package(name: str, modules: dict[str, str], **groups: str) -> dict[str, str]:
    """Files of a package; `groups` has a module for each group of entry points."""
    entries = "".join(f'"peftsearch.{group}" = {{ own = "{name}.{module}" }}\n' for group, module in groups.items())
    files = {f"{name}/{module}.py": text for module, text in modules.items()}
    return files | {f"{name}/__init__.py": "", "pyproject.toml": PROJECT.format(name=name) + entries}


def run(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_entries_of_installed_packages_stand_beside_the_built_in_ones(tmp_path):
    env = install(tmp_path, package("extra", {"space": SPACE.format(name="mine", kind="lora")}, spaces="space"))
    done = run("from peftsearch.spaces import SPACES; print(*SPACES); print(SPACES['mine'].source)", env)
    names, source = done.stdout.splitlines()
    assert {"mine", "s1", "s2"} <= set(names.split()) and source == "nowhere"


@pytest.mark.parametrize(
    "broken,reason",
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        (SPACE.format(name="s2", kind="ia3"), "ValueError: space 's2' is registered twice."),
        (SPACE.format(name="half", kind="ia3") + "1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_package_is_told_of_and_the_rest_works(broken, reason, tmp_path):
    install(tmp_path, package("broken", {"space": broken}, spaces="space"))
    env = install(tmp_path, package("fine", {"space": SPACE.format(name="mine", kind="lora")}, spaces="space"))
    done = run("from peftsearch.spaces import SPACES; print(*SPACES); print(*SPACES['s2'].roles)", env)
    names, kinds = done.stdout.splitlines()
    assert {"mine", "s1", "s2"} <= set(names.split()) and "half" not in names
    assert kinds == "lora low_rank_adapter bitfit lnfit"
    assert f"'broken' cannot add 'broken.space' to peftsearch.spaces: {reason}" in done.stderr
    assert "update or uninstall it" in done.stderr


def test_entry_points_of_one_sort_are_not_loaded_for_another(tmp_path):
    env = install(tmp_path, package("extra", {"kind": KIND}, kinds="kind"))
    done = run(
        "import sys; from peftsearch.spaces import SPACES; list(SPACES); assert 'extra' not in sys.modules", env
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_new_process_does_not_know_what_a_program_registers_and_the_run_says_what_to_do(settings, monkeypatch):
    """What an installed package adds is known there: see `test_docs`."""
    for registry in (KINDS, SPACES):
        # Of a filled registry, so that nothing else is added to the copy.
        assert "shift" not in registry
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    exec(KIND + SPACE.format(name="shifts", kind="shift"), {"__name__": "program"})
    monkeypatch.setattr(finish, "verify", verify)
    method = {"name": "random", "trials": 1}
    with pytest.raises(TrainingError, match="What only this program registers.*package with an entry point"):
        search(**settings(method=method, space="shifts", baseline=False, verify=True))


class TestRegistry:
    """A registry without built-in entries: this package has no module."""

    @pytest.fixture
    def registry(self):
        return Registry("thing", package="peftsearch.errors", group="nobody.has.this")

    def test_entries_come_sorted_by_name(self, registry):
        registry.add("b", 2)
        registry.add("a", 1)
        assert list(registry) == ["a", "b"] and len(registry) == 2 and registry["b"] == 2 and "c" not in registry

    def test_a_name_is_taken_once(self, registry):
        registry.add("a", 1)
        with pytest.raises(ValueError, match="thing 'a' is registered twice"):
            registry.add("a", 2)
        assert registry["a"] == 1

    def test_an_unknown_name_is_told_with_the_nearest(self, registry):
        registry.add("lora", 1)
        with pytest.raises(UnknownNameError, match="Did you mean 'lora'"):
            registry["lorra"]

    def test_built_in_entries_that_cannot_be_imported_are_told_of_at_every_look(self):
        registry = Registry("thing", package="peftsearch.not_there", group="nobody.has.this")
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError, match="not_there"):
                list(registry)


def test_threads_that_look_at_the_same_time_all_find_the_built_in_entries():
    code = (
        "import threading\n"
        "from peftsearch.methods import METHODS\n"
        "found, start = [], threading.Barrier(8)\n"
        "def look():\n"
        "    start.wait()\n"
        "    found.append(len(METHODS))\n"
        "threads = [threading.Thread(target=look) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert len(found) == 8 and len(set(found)) == 1 and found[0] > 5, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
