# The two commands that most people need are make demo and make test.
PYTHON ?= python3
PYTHONS ?= python3.11 python3.12 python3.13 python3.14 python3.15
VENV := .venv
BIN := $(VENV)/bin
RAVE_VENV := .venv-rave
ZOO := .zoo

.PHONY: need-python311 help demo workflow test test-pythons lint test-rave test-cluster bench stress fuzz figures picture live \
	fidelity size clean

help:
	@echo "make demo          encode the bundled recordings, generate, decode; ends with a page to listen to"
	@echo "make workflow      the same and more, as jobs of Snakemake: config/config.yaml says what (docs/cluster.md)"
	@echo "make test          run all tests but those of make test-rave and make test-cluster"
	@echo "make test-pythons  run them on every Python from 3.11 on that is there, each in an environment of its own"
	@echo "make lint          run ruff, mypy and import-linter"
	@echo "make test-rave     build real RAVE exports and run the contract tests on them (needs Python 3.11)"
	@echo "make test-cluster  run the workflow on a Slurm of two nodes on this machine (needs Debian's slurm-wlm and munge)"
	@echo "make bench         compare with the model alone and a straightforward script (needs Python 3.11)"
	@echo "make stress        kill runs at random moments and check that nothing is lost; about ten minutes"
	@echo "make fuzz          test all readers with broken files and flags"
	@echo "make fidelity      measure how true every distribution is to the bundled recordings, and draw it"
	@echo "make picture       make the picture of the page in the README again (needs chromium)"
	@echo "make figures       render the sounds and draw the pictures of the README and the tutorial again"
	@echo "make live          make the file of examples/live.pd, from the bundled recordings"
	@echo "make size          count the lines of code, without docstrings, comments and empty lines"
	@echo "make clean         remove the environments, the exports and the results of make demo and make workflow"

$(VENV)/python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/has-requirements: requirements.txt $(VENV)/python-is-new-enough
	@echo "installing into $(VENV): about 5 GB, most of it PyTorch; this takes some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/has-workflow-requirements: requirements-workflow.txt $(VENV)/has-requirements
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-workflow.txt
	@touch $@

$(VENV)/has-dev-requirements: requirements-dev.txt $(VENV)/has-workflow-requirements
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(VENV)/has-requirements
	@PYTHON=$(BIN)/python sh examples/demo.sh

workflow: $(VENV)/has-workflow-requirements
	$(BIN)/snakemake --cores 2

test: $(VENV)/has-dev-requirements
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not rave and not cluster"

# A folder of its own for each Python: .venv-python3.12 and so on, 5 GB each.
test-pythons:
	@failed=""; missing=""; for python in $(PYTHONS); do \
		if ! $$python -c '' 2>/dev/null; then missing="$$missing $$python"; continue; fi; \
		echo "== $$python"; \
		$(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$${python##*/} || failed="$$failed $$python"; \
	done; \
	test -z "$$missing" || echo "SKIPPED, NOT FOUND:$$missing"; \
	test -z "$$failed" || { echo "FAILED ON:$$failed"; exit 1; }

lint: $(VENV)/has-dev-requirements
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# RAVE pins an old NumPy, so it lives in an environment of its own, which only builds the exports.
IS_311 := import sys; sys.exit(print(sys.executable) if sys.version_info[:2] == (3, 11) else 1)
PYTHON311 ?= $(shell python3.11 -c '$(IS_311)' 2>/dev/null || $(PYTHON) -c '$(IS_311)' 2>/dev/null)

$(RAVE_VENV)/has-rave:
	$(PYTHON311) -m venv $(RAVE_VENV)
	$(RAVE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		torch==2.11.0 torchaudio==2.11.0 acids-rave==2.3.1
	@touch $@

need-python311:
	@test -n "$(strip $(PYTHON311))" || { echo "RAVE needs Python 3.11, found none: make PYTHON311=/path/to/it"; exit 1; }

ifeq ($(strip $(PYTHON311)),)
test-rave:
	@echo "SKIPPED: make test-rave needs Python 3.11, which RAVE is pinned to, and found none: NO REAL EXPORT WAS TESTED"
else
test-rave: $(VENV)/has-dev-requirements $(RAVE_VENV)/has-rave
	$(RAVE_VENV)/bin/python tests/rave/zoo.py $(ZOO)
	$(BIN)/python -m pytest -m rave -s tests/rave
endif

# Where it cannot start Slurm, it says NO CLUSTER IS TESTED, and why.
test-cluster: $(VENV)/has-dev-requirements
	$(BIN)/python -m pytest -m cluster tests/workflow

bench: need-python311 $(VENV)/has-dev-requirements $(RAVE_VENV)/has-rave
	$(RAVE_VENV)/bin/python tests/rave/zoo.py $(ZOO) --full
	$(BIN)/python benchmarks/bench.py

fidelity: $(VENV)/has-requirements
	$(BIN)/python benchmarks/fidelity.py --picture docs/fidelity.png

live: $(VENV)/has-requirements
	$(BIN)/python encoder.py --input examples/audio --output examples/live-latents --skip_existing
	$(BIN)/python generator.py --input examples/live-latents --live examples/live.ts --overwrite \
		--with_model unravel_lib/models/pocket/pocket.ts

figures: $(VENV)/has-requirements
	$(BIN)/python examples/sounds.py
	$(BIN)/python examples/figures.py

picture: demo $(VENV)/has-dev-requirements
	PYTHONPATH=.:tests $(BIN)/python tests/page/picture.py demo-output/index.html docs/page.png

size:
	@$(PYTHON) benchmarks/size.py

# 240 kills at random moments, 5 GB, 5000 small files: about ten minutes.
stress: $(VENV)/has-dev-requirements
	$(BIN)/python tests/stress.py

fuzz: $(VENV)/has-dev-requirements
	$(BIN)/python -W ignore tests/fuzz/with_hypothesis.py
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: atheris; \
	then $(BIN)/python -W ignore tests/fuzz/with_atheris.py; \
	else echo "SKIPPED: atheris has no wheel for this Python: ONLY HYPOTHESIS FUZZED"; fi

clean:
	rm -rf $(VENV) .venv-python* $(RAVE_VENV) $(ZOO) demo-output workflow-output .snakemake .bench
