# Two commands are all a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.PHONY: install demo test test-slow examples check types docs clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,gguf,bo,dev]'
	touch $@

demo: install
	$(OFFLINE) $(BIN)/peftsearch search --model demo --task demo --budget 0.1% --learning_rate 5e-3 \
		--num_train_epochs 3 --output runs/demo --overwrite

test: install
	$(OFFLINE) $(BIN)/python -m pytest

test-slow: install
	$(OFFLINE) $(BIN)/python -m pytest -m slow

examples: install
	$(OFFLINE) $(BIN)/python -m pytest -m slow tests/test_notebook.py tests/test_docs.py

check: install types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: .venv/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

.venv/docs-installed: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
