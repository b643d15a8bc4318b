# Python 3.11 to 3.13 and make are all that is needed; everything else goes into .venv.
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
HOME_FOLDER ?= demo-company
OLIST ?= ../shared/data/olist
# Without compiled bytecode every import takes several times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test fast slow check audit bench bench-fit bench-gate bench-score ui lock clean
help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(READY) ## set up .venv, with icp in it

demo: $(READY) ## set up and run the whole loop on a simulated company
	rm -rf $(HOME_FOLDER)
	$(BIN)/icp demo --home $(HOME_FOLDER)

test: $(READY) ## set up and run the checks and the tests, side by side
	@$(MAKE) --no-print-directory -j2 check fast

fast: $(READY)
	$(BIN)/pytest

slow: $(READY) ## the tests that take minutes: the demo, its pages in a browser, crashes
	$(BIN)/pytest -m slow -n 2 --dist loadfile

check: $(READY) ## lint, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(READY) ## hold the locks against published advisories; says where these cannot be reached
	$(BIN)/python requirements/audit.py $(if $(ADVISORIES),--advisories $(ADVISORIES))

bench: bench-fit bench-gate bench-score ## measure against peers; writes benchmarks/results/

bench-fit: $(READY) ## the fit model against what companies do instead
	$(BIN)/python -m benchmarks.fit
	if [ -d $(OLIST) ]; then $(BIN)/python -m benchmarks.olist $(OLIST); fi

bench-gate: $(READY) ## the gate against the rules of others (fits rounds once: hours; then minutes)
	$(BIN)/python -m benchmarks.gate

bench-score: $(READY) ## scoring against the bare boosters, a million rows, then ten
	$(BIN)/python -m benchmarks.score 1000000 10000000

ui: $(READY) ## MLflow and Prefect of HOME_FOLDER in a browser, on 127.0.0.1, until Ctrl-C
	$(BIN)/icp up --home $(HOME_FOLDER)

lock: ## resolve the locks in requirements/ again (needs uv)
	requirements/lock.sh --upgrade

clean: ## remove the environment and the demo company
	rm -rf .venv $(HOME_FOLDER)

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "icploop needs Python 3.11, 3.12 or 3.13 on the PATH"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
