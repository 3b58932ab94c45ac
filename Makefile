# Every target does its own set-up: the environment is made once and again whenever the project's requirements change.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEER := benchmarks/peer
PEER_READY := $(PEER)/.venv/.ready
CLUSTER_READY := .venv-cluster/.ready
STUDY ?= studies/quickstart.yaml
SIMULATED := samples/simulated/clic_10_500_train.h5 samples/simulated/clic_10_500_validation.h5

# Two processes of tests on two cores: with two threads each they wait for one another most of the time.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help study docs screenshots clic-wide calochallenge fidelity scaling large-batch large-batch-seed-network test test-slow test-cluster bench bench-peer bench-hosts check environment constraints clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 26

study: $(READY) ## run a study, by default the quickstart: make study STUDY=studies/other.yaml ARGS="--set training.epochs=2"
	$(BIN)/gan3d run $(STUDY) --fresh $(ARGS)

docs: $(READY) ## the documentation as pages in site/, which open without a server
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet
	@echo site/index.html

screenshots: $(READY) ## pictures of MLflow's pages on the quickstart, for the documentation; takes a Chromium
	$(BIN)/gan3d run studies/quickstart.yaml --resume
	$(BIN)/python docs/screenshots.py results/quickstart

scaling: $(READY) ## strong, weak and single-node scaling, ten minutes on two idle cores; goes on where it was interrupted
	$(BIN)/gan3d run studies/scaling.yaml --resume $(ARGS)
	$(BIN)/gan3d run studies/single_node.yaml --resume $(ARGS)
	@echo Figures and their numbers:
	@ls results/scaling/figures/scaling_* results/single_node/figures/single_node.*

large-batch: $(READY) $(SIMULATED) ## studies/large_batch.yaml, hours on two cores; goes on where it was interrupted
	$(BIN)/gan3d run studies/large_batch.yaml --resume $(ARGS)

large-batch-seed-network: $(READY) $(SIMULATED) ## its end points with the seed's own networks, an hour and a half; goes on too
	$(BIN)/gan3d run studies/large_batch_seed_network.yaml --resume $(ARGS)

samples/simulated/clic_10_500_train.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --showers 2048 --energy 10 500 --seed 1

samples/simulated/clic_10_500_validation.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --showers 1000 --energy 10 500 --seed 2

clic-wide: $(READY) samples/simulated/clic_wide_train.h5 samples/simulated/clic_wide_validation.h5 ## studies/clic_wide.yaml: 51 x 51 x 25 cells and a polar angle, simulated first
	$(BIN)/gan3d run studies/clic_wide.yaml --resume $(ARGS)

calochallenge: $(READY) samples/simulated/calochallenge_2_train.h5 samples/simulated/calochallenge_2_validation.h5 ## studies/calochallenge_2.yaml: a cylinder, simulated first
	$(BIN)/gan3d run studies/calochallenge_2.yaml --resume $(ARGS)

fidelity: $(READY) samples/simulated/clic_10_100_pretrain.h5 ## studies/fidelity.yaml, an hour and a half on two idle cores; needs $$GAN3D_DATA
	$(BIN)/gan3d run studies/fidelity.yaml --resume $(ARGS)

samples/simulated/clic_10_100_pretrain.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --showers 4096 --energy 10 100 --seed 1

samples/simulated/clic_wide_train.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --calorimeter clic_wide --showers 1024 --energy 100 200 --angle 60 120 --seed 1

samples/simulated/clic_wide_validation.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --calorimeter clic_wide --showers 500 --energy 100 200 --angle 60 120 --seed 2

samples/simulated/calochallenge_2_train.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --calorimeter calochallenge_2 --showers 1024 --energy 1 100 --spectrum log_uniform --seed 1

samples/simulated/calochallenge_2_validation.h5: | $(READY)
	@mkdir -p $(@D)
	$(BIN)/gan3d simulate $@ --calorimeter calochallenge_2 --showers 500 --energy 1 100 --spectrum log_uniform --seed 2

test: $(READY) ## the tests, without those that take minutes each, two files at a time
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15 $(ARGS)

test-slow: $(READY) ## the tests that take minutes each, two files at a time: kills, end to end, documentation
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15 $(ARGS)

test-cluster: $(CLUSTER_READY) ## those that need Spark or Ray's server of jobs, in an environment of their own (1 GB; a Java for Spark)
	$(ONE_THREAD) .venv-cluster/bin/python -m pytest -m slow tests/test_spark.py tests/test_submission.py $(ARGS)

bench: $(READY) ## all benchmarks, into benchmarks/README.md; some of them: make bench ARGS="training_step layers --quick"
	$(BIN)/python -m benchmarks.run $(ARGS)

bench-peer: $(READY) $(PEER_READY) ## gan3d beside Keras on TensorFlow, which gets its own environment; quicker: make bench-peer ARGS=--quick
	$(BIN)/python -m benchmarks.peer $(ARGS)

bench-hosts: $(READY) ## trainings on hosts made of network namespaces (root), beside the cost model: make bench-hosts ARGS=--study
	$(BIN)/python -m benchmarks.hosts $(ARGS)

$(PEER_READY): $(PEER)/requirements.txt
	$(PYTHON) -m venv $(PEER)/.venv
	$(PEER)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(PEER)/requirements.txt
	@touch $(PEER_READY)

check: $(READY) ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(CLUSTER_READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-cluster
	.venv-cluster/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	.venv-cluster/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster,dev,spark]'
	@touch $(CLUSTER_READY)

environment: $(READY) ## only make the environment

$(READY): pyproject.toml constraints.txt setup.py gan3d/models/fourier/kernel.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[analysis,dev,docs,export]'
	@touch $(READY)

constraints: $(READY) $(CLUSTER_READY) ## pin what is installed now, in both environments; what came from a file on this machine is left out
	@sed -n '/^#/p' constraints.txt > constraints.new
	@$(BIN)/python -m pip freeze --exclude-editable > constraints.found
	@.venv-cluster/bin/python -m pip freeze --exclude-editable >> constraints.found
	@grep -v ' @ ' constraints.found | sed 's/+cpu//' | sort -fu >> constraints.new
	@rm constraints.found && mv constraints.new constraints.txt

clean: ## drop the environment and caches, never results
	rm -rf $(VENV) .venv-cluster $(PEER)/.venv .mypy_cache .ruff_cache .pytest_cache gan3d.egg-info
