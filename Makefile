# The targets that people, the README and CI use. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The frameworks say a lot at import; what matters is said by Assay itself.
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_ENABLE_ONEDNN_OPTS ?= 0

.PHONY: help install demo run test test-fast lint types bench format docs-check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned dependencies (once; some minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[postgres,test,quality]' 2> $(VENV)/pip.log \
		|| { cat $(VENV)/pip.log; exit 1; }
	@touch $@

install: $(VENV)/installed ## make .venv and install everything into it

demo: install ## the main job, end to end, on two real data sets and both frameworks (FRESH=1 starts clean)
	@$(BIN)/python docs/demo $(if $(FRESH),--fresh,)

run: install ## web server and one worker on http://127.0.0.1:8000
	@$(BIN)/python manage.py serve

test: install ## every test
	@$(BIN)/python -m tests $(ARGS)

test-fast: install ## the tests that take less than a moment
	@$(BIN)/python -m pytest -n 2 -m "not slow and not browser" $(ARGS)

lint: install ## ruff and the one direction of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

format: install ## let ruff format the tree
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: install ## mypy --strict
	@$(BIN)/mypy

bench: install ## the benchmarks: ratios against peers and floors, printed and written as JSON
	@$(BIN)/python -m benchmarks

clean: ## remove the environment and the demo's home
	@rm -rf $(VENV) .assay .bench
