# Needs nothing but make and Python >= 3.11. Every target makes the virtual environment if it is missing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?=
OUT    ?=
PRESET ?= quick

.DEFAULT_GOAL := help
.PHONY: help demo paper test check bench soak clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed, and $(PYTHON) is not: $$($(PYTHON) --version 2>&1). Install one, or name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt install python3-venv"; exit 2; }
	@echo "Making $(VENV) and installing into it; this takes a minute or a few."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on -e '.[dev]'
	@touch $@

demo: $(VENV)/installed ## everything on this machine: data, training, MLflow, serving (DATA=path/to/KuaiRand-Pure for real logs)
	@$(BIN)/easq demo $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)")

paper: $(VENV)/installed ## the paper's tables and figures in a simulated world (PRESET=evidence for several worlds)
	@$(BIN)/easq paper --preset "$(PRESET)" $(if $(OUT),--out "$(OUT)")

test: $(VENV)/installed ## the tests, under ten minutes on two cores
	@$(BIN)/pytest -q -m "not soak and not bench and not ray" -n 2 --dist loadfile --durations=5
	@$(BIN)/pytest -q -m "ray and not soak and not bench" --durations=0 --durations-min=5

check: $(VENV)/installed ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/installed ## one JSON line a benchmark, each against a yardstick of the same run
	@$(BIN)/pytest -q -s -m bench tests

soak: $(VENV)/installed ## the long tests
	@$(BIN)/pytest -q -s -m soak --durations=0

clean: ## remove the virtual environment and what runs left
	@rm -rf $(VENV) .easq
