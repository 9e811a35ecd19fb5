# make demo   a phantom data set through the whole chain, with what was recovered of its truth
# make test   everything that CI checks
# make bench  slow measurements, values printed
# make test-fmriprep  our command lines through the parser of the real fMRIPrep, in its own .fmriprep
# make test-faults    sixty faults of twelve kinds, and the same command after each; as root
# make test-cluster   a Slurm of two nodes on this machine, killed in several ways; as root, on Debian
# make test-people    forty people, of whom five are bad in five ways
#
# Needs Python 3.11 or newer, make, and a network that reaches PyPI.

PYTHON ?= python3
UV_VERSION = 0.13.8
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
CORES ?= 2
# An environment of its own: it pins what we do not.
FMRIPREP = .fmriprep
FMRIPREP_VERSION = 25.2.7

export OPENBLAS_NUM_THREADS = 1
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
# uv belongs to this project alone, and so does the environment that it fills.
export UV_PROJECT_ENVIRONMENT = $(VENV)

.PHONY: demo test test-cluster test-faults test-fmriprep test-kubernetes test-people lint unit setup clean
.PHONY: bench bench-extract bench-region bench-curate bench-fmri bench-eeg bench-align bench-latents bench-scale
.PHONY: bench-signals bench-read bench-publishers

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

# Installs Debian's packages of Slurm where they are missing; skipped, with the reason, where it may not.
test-cluster: $(READY)
	$(BIN)/python -m pytest -s tests/cluster

# The plugin of Kubernetes is not among our dependencies; pods are processes of this machine.
test-kubernetes: $(READY)
	.uv/bin/uv pip install --quiet --python $(BIN)/python --target .kubernetes \
		--no-deps snakemake-executor-plugin-kubernetes==0.5.1
	.uv/bin/uv pip install --quiet --python $(BIN)/python --target .kubernetes kubernetes==32.0.1
	BRAINDATA_KUBERNETES=$(CURDIR)/.kubernetes $(BIN)/python -m pytest -s tests/cluster/test_kubernetes.py

# Of eight people it is a part of `make test`.
test-people: $(READY)
	BRAINDATA_PEOPLE=40 $(BIN)/python -m pytest -s tests/workflow/test_bad_people.py

# KINDS="disk full" and SEEDS="0 3" choose some of them, FAULTS=FOLDER keeps what went wrong there.
test-faults: $(READY)
	$(BIN)/python -m tests.faults.run $(if $(KINDS),--kinds "$(KINDS)") $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(FAULTS),--keep $(FAULTS))

# Only its parser is run; the rest of fMRIPrep needs a container.
test-fmriprep: $(READY)
	test -x $(FMRIPREP)/bin/python || .uv/bin/uv venv --quiet --python $(PYTHON) $(FMRIPREP)
	.uv/bin/uv pip install --quiet --python $(FMRIPREP)/bin/python fmriprep==$(FMRIPREP_VERSION)
	BRAINDATA_FMRIPREP_PYTHON=$(CURDIR)/$(FMRIPREP)/bin/python $(BIN)/python -m pytest -s \
		tests/unit/test_fmriprep_command.py

bench-extract: $(READY)
	$(BIN)/python -m tests.bench.extract

bench-region: $(READY)
	$(BIN)/python -m tests.bench.new_region --recordings 200

bench-curate: $(READY)
	$(BIN)/python -m tests.bench.curate

# antspyx and itk-elastix (1.5 GB) are compared with; nothing else needs them.
bench-fmri: $(READY)
	.uv/bin/uv run --frozen --with antspyx==0.5.3 --with itk-elastix==0.25.4 python -m tests.bench.fmri

bench-eeg: $(READY)
	$(BIN)/python -W ignore -m tests.bench.eeg_sources
	$(BIN)/python -m tests.bench.eeg_preprocess
	.uv/bin/uv run --frozen --with mne-bids-pipeline==1.10.1 python -W ignore -m tests.bench.eeg_cleaning

# Peers that only this measures; brainiak finds its MPI in mpich's wheel.
ALIGN_PEERS = --with fmralign==0.0.6 --with brainiak==0.12 --with mpich==5.0.1 --with fastsrm==0.0.5

bench-align: $(READY)
	.uv/bin/uv run --frozen $(ALIGN_PEERS) python -m tests.bench.align
	.uv/bin/uv run --frozen $(ALIGN_PEERS) python -m tests.bench.align_film
	$(BIN)/python -m tests.bench.align_phantom

bench-scale: $(READY)
	$(BIN)/python -m tests.bench.scale

bench-latents: $(READY)
	$(BIN)/python -m tests.bench.latents

bench-signals: $(READY)
	$(BIN)/python -m tests.bench.signals

bench-read: $(READY)
	$(BIN)/python -m tests.bench.read

bench-publishers: $(READY)
	$(BIN)/python -m tests.bench.publishers --kills 40 --at-once 4

bench: $(READY) bench-extract bench-region bench-curate bench-fmri bench-eeg bench-align bench-latents bench-scale bench-signals
bench: bench-read bench-publishers
	$(BIN)/python -m tests.bench.stores
	$(BIN)/python -m tests.bench.phantom_seeds --seeds 0 1 2 3 4
	$(BIN)/python -m tests.bench.kills --kills 20

clean:
	rm -rf $(VENV) $(FMRIPREP) .uv demo results .snakemake .mypy_cache .ruff_cache .pytest_cache
