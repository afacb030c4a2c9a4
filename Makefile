# Every target sets up first: .venv from pyproject.toml and constraints.txt. Needs only Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test static compiled test-all test-faults reference bench docs clean

setup: .venv/complete

.venv/complete: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'outrange needs Python 3.11 or newer; set PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	$(BIN)/pyright --version >/dev/null # fetches its program once, so that the tests need no network
	-$(BIN)/outrange lm fetch # a small pretrained model; tests that look into it are skipped without it
	touch $@

demo: setup
	$(BIN)/outrange demo

# one thread per test process: more make the small tensors of tests slower
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test: setup
	$(MAKE) --no-print-directory -j2 static compiled
	$(PYTEST) -m "not reference and not slow"

static: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

compiled: setup # what the tests use, compiled once rather than by each test process
	$(BIN)/python -m tests.warm

test-all: setup reference
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,envpool]' cpprb opencv-python-headless
	$(BIN)/python -m tests.warm
	$(PYTEST) -m "not reference"
	OUTRANGE_REFERENCE_PYTHON=.venv-reference/bin/python $(BIN)/python -m pytest -m reference

test-faults: setup
	$(BIN)/python -m pytest tests/faults

reference: setup
	$(BIN)/python -c "from pathlib import Path; from outrange.reasoning.bench import reference_environment as e; e(Path('.venv-reference'))"

bench: setup
	$(BIN)/outrange clrs bench --against-reference
	$(BIN)/outrange nar bench --against-reference
	$(BIN)/outrange nar bench --against-reference --evaluation 64 --steps 1 --rounds 2

docs: setup
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv .venv-reference out
