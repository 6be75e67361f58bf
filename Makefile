# The two commands of a fresh machine: `make validate` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: validate test test-long mutation check lint types clean

# The environment is made anew when what it is made from changes.
$(VENV)/made: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed; say make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

validate: $(VENV)/made
	$(BIN)/python -m validation run small

test: $(VENV)/made
	$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile

test-long: $(VENV)/made
	$(BIN)/python -m pytest -m long

# A run that was cut short goes on where it was; runs/mutation holds what is known.
mutation: $(VENV)/made
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutation]'
	for module in estimators agreement designs; do \
	  PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m mutation $$module --control --keep || exit 1; \
	done

lint: $(VENV)/made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/made
	$(BIN)/mypy

check: lint types

clean:
	rm -rf $(VENV) build dist *.egg-info
