# The two commands of the README are `make demo` and `make test`; both set up first.

# where the programs are that tests and the command start (host/firmshake/tools.py)
export FIRMSHAKE_TOOLS := $(CURDIR)/.tools
# what an activated environment or a developer's shell has set must not leak into this one
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# each command that a test starts would compile all of firmshake anew
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
CODE := host device tests benches setup
SETUP := sh setup/run.sh

# how long `make fuzz` takes, and which parser it is for: all of them where that is empty
SECONDS := 60
TARGET :=

# Many tests wait for a board's own pace: on two cores, six at a time keep both busy. Who is done
# takes from what another has left: that saved a minute of eleven against shares dealt out in advance
WORKERS := 6

.PHONY: help setup demo test lint bench score fuzz boards clean
.DEFAULT_GOAL := help

help:
	@echo "make demo               the whole road on a virtual board: nothing to plug in"
	@echo "make test               every check and every test"
	@echo "make lint               the checks without the tests"
	@echo "make bench              the figures of the README, measured here"
	@echo "make fuzz SECONDS=60    every parser under hostile bytes; TARGET=NAME for one"
	@echo "make score              every fault on every runtime: is it named rightly?"
	@echo "make boards PORT=...    the tests for a real board on that port"
	@echo "make setup              what the others do first: .venv and .tools"
	@echo "make clean              remove all that make made"

setup:
	@$(SETUP)

demo: setup
	@exec $(BIN)/firmshake demo

lint: setup
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

test: lint
	@$(SETUP) --tests || echo "make test: going on without that: tests that want it will fail"
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

bench:
	@$(SETUP) --benches
	@exec $(BIN)/python benches/run.py

fuzz: setup
	@$(BIN)/python -m pip install --quiet --no-input --no-deps --disable-pip-version-check -r requirements/fuzz.txt
	@exec $(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) $(TARGET)

# DOCS=1 also asks stock clients, and writes docs/diagnosis.md
score: SETUP += --wide
score: setup
	@exec $(BIN)/python benches/score.py $(if $(DOCS),--docs) $(CASE)

boards: setup
	@test -n "$(PORT)" || { echo "make boards: say which: make boards PORT=/dev/ttyUSB0 PROJECT=FOLDER PASSPHRASE=FILE" >&2; exit 2; }
	@PORT="$(PORT)" PROJECT="$(PROJECT)" PASSPHRASE="$(PASSPHRASE)" exec $(BIN)/python -m pytest tests/boards

clean:
	rm -rf .venv .tools .fuzz build dist host/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
