# make demo   a phantom data set through the whole chain, with what was recovered of its truth
# make test   everything that CI checks
# make bench  slow measurements, values printed
#
# Needs Python 3.11 or newer, make, and a network that reaches PyPI.

PYTHON ?= python3
UV_VERSION = 0.13.8
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
CORES ?= 2

export OPENBLAS_NUM_THREADS = 1
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
# uv belongs to this project alone, and so does the environment that it fills.
export UV_PROJECT_ENVIRONMENT = $(VENV)

.PHONY: demo test lint unit bench bench-extract bench-region bench-curate bench-eeg-preprocess setup clean

setup: $(READY)

$(READY): pyproject.toml uv.lock
	test -x .uv/bin/uv || $(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	.uv/bin/uv sync --quiet --frozen --all-groups --compile-bytecode --python $(PYTHON)
	touch $(READY)

demo: $(READY)
	$(BIN)/braindata phantom demo/phantom --truth demo/truth --jobs $(CORES)
	$(BIN)/snakemake --cores $(CORES) --configfile config/config.yaml --config output=demo/results
	$(BIN)/braindata tables demo/results
	$(BIN)/braindata recovery demo/results --truth demo/truth
	@echo "The report: demo/results/report/index.html"

test: lint unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint --configfile tests/data/lint/config.yaml

unit: $(READY)
	$(BIN)/python -m pytest

bench-extract: $(READY)
	$(BIN)/python -m tests.bench.extract

bench-region: $(READY)
	$(BIN)/python -m tests.bench.new_region --recordings 200

bench-curate: $(READY)
	$(BIN)/python -m tests.bench.curate

bench-eeg-preprocess: $(READY)
	$(BIN)/python -m tests.bench.eeg_preprocess

bench: $(READY) bench-eeg-preprocess bench-extract bench-region bench-curate
	$(BIN)/python -m tests.bench.stores
	$(BIN)/python -m tests.bench.phantom_seeds --seeds 0 1 2 3 4
	$(BIN)/python -m tests.bench.kills --kills 20

clean:
	rm -rf $(VENV) .uv demo results .snakemake .mypy_cache .ruff_cache .pytest_cache
