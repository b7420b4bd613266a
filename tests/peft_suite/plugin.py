"""The pytest plugin that makes peft's tests use our configurations.

`pytest.mark.parametrize` keeps the module's own lists, so that they are replaced in place, before pytest collects.
"""

import importlib
from pathlib import Path
from typing import Any

import pytest

from peft_suite.hub import MODELS
from peft_suite.impossible import reason_for
from peft_suite.structures import CUSTOM, PAIRS, TRANSFORMERS, OnTargets, Structure, settings_for, sites_of
from peftsearch.errors import ConfigurationError
from peftsearch.modules.adapter_config import PeftSearchConfig

OURS = (PeftSearchConfig, OnTargets)
TASK_TYPES = {
    "test_decoder_models": "CAUSAL_LM",
    "test_encoder_decoder_models": "SEQ_2_SEQ_LM",
    "test_feature_extraction_models": "FEATURE_EXTRACTION",
    "test_seq_classifier": "SEQ_CLS",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option and the markers that peft's own conftest.py adds."""
    parser.addoption("--regression", action="store_true", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Replace the lists of the test files that are about to be collected."""
    for marker in ("regression", "single_gpu_tests", "multi_gpu_tests"):
        config.addinivalue_line("markers", f"{marker}: of peft")
    for argument in config.args:
        name = Path(argument.split("::")[0]).stem
        module = importlib.import_module(f"tests.{name}")
        if name == "test_custom_models":
            module.TEST_CASES[:] = CUSTOM
            module.MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES[:] = PAIRS
            module.ALL_PEFT_CONFIG_CLASSES[:] = [OnTargets]
        else:
            module.ALL_CONFIGS[:] = [
                (PeftSearchConfig, Structure(structure, task_type=TASK_TYPES[name])) for structure in TRANSFORMERS
            ]
            _keep_models_of_the_hub(module)


def _keep_models_of_the_hub(module: Any) -> None:
    for name in dir(module):
        if name.endswith("_MODELS_TO_TEST"):
            models = getattr(module, name)
            models[:] = [model for model in models if model in MODELS]


def pytest_make_parametrize_id(config: pytest.Config, val: Any, argname: str) -> str | None:
    """Structures by their names."""
    return val.name if isinstance(val, Structure) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of our configurations, put sites into them, and mark those that must fail."""
    kept = [item for item in items if _parameters(item).get("config_cls") in OURS]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    for item in items:
        structure = _parameters(item).get("config_kwargs")
        if isinstance(structure, Structure):
            _prepare(item, structure)


def _prepare(item: pytest.Item, structure: Structure) -> None:
    parameters = item.callspec.params
    if structure.name in TRANSFORMERS:
        sites = sites_of(item.cls.transformers_class, parameters.get("model_id") or _first_model(item.module))
        parameters["config_kwargs"] = dict(structure) | settings_for(structure.name, sites)
    if reason := reason_for(item, structure.name):
        item.add_marker(pytest.mark.xfail(reason=reason, raises=ConfigurationError, strict=True))


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _first_model(module: Any) -> str:
    return next(getattr(module, name)[0] for name in dir(module) if name.endswith("_MODELS_TO_TEST"))
