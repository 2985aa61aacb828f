# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`. All others are for working on Trimtab.
PYTHON ?= python3.11
UV := .tools/bin/uv
BIN := .venv/bin
STAMPS := build/stamps

BUILD ?= docker build --quiet --tag {tag} --file {file} {context}
EXISTS ?= docker image inspect {tag}
TESTS ?= tests/cluster
MARKS ?=
BUDGET ?= 60s
CASES ?= 10000

.DEFAULT_GOAL := help
.PHONY: help demo demo-control test test-unit test-local test-interleavings test-fleet test-cluster images kind-up kind-down lint generate check-diff \
	simulate-estimates simulate-explanations simulate-monitoring simulate-rollouts simulate-ab backtest-bike fuzz-events fuzz-serving \
	bench-capture bench-defects bench-drift bench-events \
	bench-ingest bench-reports bench-rollback bench-run bench-search bench-serving bench-shadow bench-validation clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==0.13.9

$(STAMPS)/local: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON) --extra local --extra controller
	@mkdir -p $(@D) && touch $@

$(STAMPS)/detectors: $(UV) pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-detectors $(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON) --extra detectors --no-dev
	@mkdir -p $(@D) && touch $@

$(STAMPS)/explainer: $(UV) pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-explainer $(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON) --extra explainer --no-dev
	@mkdir -p $(@D) && touch $@

demo: $(STAMPS)/local $(STAMPS)/detectors ## train, serve, drift, retrain, canary, promote, and roll a bad candidate back
	$(BIN)/python examples/bike-demand/demo.py

demo-control: $(STAMPS)/local $(STAMPS)/detectors ## the same without any change in the world: nothing may be retrained
	$(BIN)/python examples/bike-demand/demo.py --control

test: lint test-unit test-local ## everything that needs no cluster; MARKS="not long" leaves out the longest, as CI does, which has an hour

test-unit: $(STAMPS)/local $(STAMPS)/detectors $(STAMPS)/explainer ## unit and property tests, and a short run of each simulation
	$(BIN)/pytest -n 3 --dist loadfile -m "$(MARKS)" tests/unit tests/simulation

test-local: $(STAMPS)/local $(STAMPS)/detectors $(STAMPS)/explainer ## the loop with real processes
	$(BIN)/pytest -n 2 --dist worksteal -m "$(MARKS)" tests/local

test-interleavings: $(STAMPS)/local ## two Releases, hand edits and crashes in 200 random orders, on the real local adapters
	OMP_NUM_THREADS=1 INTERLEAVINGS=$(or $(INTERLEAVINGS),200) $(BIN)/pytest -p no:xdist tests/local/test_interleavings.py

test-fleet: $(STAMPS)/local ## pipeline versions, bad and good, come to FLEET=20 Models with real processes and callers
	OMP_NUM_THREADS=1 FLEET=$(or $(FLEET),20) $(BIN)/pytest -p no:xdist tests/local/test_fleet.py

test-cluster: $(STAMPS)/local ## what needs a cluster: any that KUBECONFIG names, with the images on it (make images); MARKS as for test
	IMAGE_BUILD="$(BUILD)" IMAGE_EXISTS="$(EXISTS)" $(BIN)/pytest -p no:xdist -ra --timeout 900 -m "$(MARKS)" $(TESTS)

images: $(STAMPS)/local ## the seven images, only those that changed; BUILD and EXISTS name another builder than docker
	$(BIN)/python images/build.py --builder "$(BUILD)" --exists "$(EXISTS)"

kind-up: ## a kind cluster with KServe, the images, Trimtab and the example (needs Docker)
	manifests/kind/up.sh

kind-down: ## delete it
	manifests/kind/down.sh

lint: $(STAMPS)/local ## format, lint, types and borders
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

generate: $(STAMPS)/local ## every generated file (the chart's bases need helm)
	$(BIN)/python -m pipelines
	$(BIN)/python -m components
	$(BIN)/python -m trimtab.platforms.kubernetes.crds
	$(BIN)/python helm/generate.py
	$(BIN)/python docs/generate.py

check-diff: generate ## generated files are fresh
	git diff --exit-code

simulate-rollouts: $(STAMPS)/local ## the judge's promises, 10,000 rollouts a cell, beside other tools, written to docs/evidence/rollouts.md
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.simulation.rollouts

simulate-ab: $(STAMPS)/local ## false winners and power of A/B rollouts under continuous looks, written to docs/evidence/ab.md
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.simulation.ab

simulate-monitoring: $(STAMPS)/local $(STAMPS)/detectors ## a fleet without drift and with planted drift: false findings, power, delay, beside other tools
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.simulation.monitoring --models $(or $(MODELS),1000)

simulate-estimates: $(STAMPS)/local ## estimates without labels against the labels that come, written to docs/evidence/estimates.md
	$(BIN)/python examples/bike-demand/prepare.py
	$(BIN)/python -m tests.simulation.estimates

simulate-explanations: $(STAMPS)/local ## what answers rest on, in calm worlds and moving ones, written to docs/evidence/explanations.md
	$(BIN)/python -m tests.simulation.explanations

fuzz-serving: $(STAMPS)/local ## malformed requests to a predictor: CASES=10000 in one process, a fifth of them to a real one
	FUZZ_CASES=$(CASES) $(BIN)/pytest -p no:xdist tests/unit/serving/test_fuzz.py

fuzz-events: $(STAMPS)/local ## malformed events to a real monitor: CASES=10000
	FUZZ_CASES=$(CASES) $(BIN)/pytest -p no:xdist tests/unit/monitoring/test_bad_input.py

bench-events: $(STAMPS)/local $(STAMPS)/detectors ## events/s into the monitor on one processor, each there once after a kill -9; both databases, written to docs/evidence
	$(BIN)/python -m tests.bench.ingest_events

bench-ingest: $(STAMPS)/local ## ten million rows through a run's first step: seconds and peak memory
	$(BIN)/python -m tests.bench.ingest

bench-reports: $(STAMPS)/local ## what reports cost, for a fleet of 1,000 models too, and the pictures of docs/reports.md
	$(BIN)/python -m tests.bench.reports

bench-rollback: $(STAMPS)/local ## seconds until the last answer of a version that is rolled back, written to docs/evidence
	$(BIN)/python -m tests.bench.rollback

bench-validation: $(STAMPS)/local ## planted defects and clean worlds over 20 seeds: what validation stops
	$(BIN)/python -m tests.bench.validation

bench-search: $(STAMPS)/local ## what a search gains on later months, against XGBoost's defaults; BUDGET=60s
	$(BIN)/python examples/bike-demand/prepare.py
	$(BIN)/python -m tests.simulation.search --budget $(BUDGET)

bench-serving: $(STAMPS)/local ## requests/s, latency and memory of the predictor beside other servers, written to docs/benchmarks
	$(BIN)/python -m tests.bench.serving

bench-shadow: $(STAMPS)/local ## what copying requests to a candidate costs the callers, written to docs/benchmarks
	$(BIN)/python -m tests.bench.shadow

bench-run: $(STAMPS)/local ## a whole training run of bike-demand with a search of a minute: where its time goes
	$(BIN)/python examples/bike-demand/prepare.py
	$(BIN)/python -m tests.bench.run --budget $(BUDGET)

bench-defects: $(STAMPS)/local ## planted defects and clean retrains of all examples: what is caught, what is stopped wrongly
	$(BIN)/python examples/bike-demand/prepare.py
	$(BIN)/python -m tests.simulation.defects

bench-drift: $(STAMPS)/local $(STAMPS)/detectors ## a drift check beside Alibi's, the same windows to both: seconds and p-values
	$(BIN)/python -m tests.bench.drift

backtest-bike: $(STAMPS)/local $(STAMPS)/detectors ## the bike example's policy over its two years, beside clocks and an oracle, written to docs/evidence
	$(BIN)/python examples/bike-demand/prepare.py
	$(BIN)/python -m tests.bench.backtest

bench-capture: $(STAMPS)/local ## a million requests while the monitor is dead: memory, and every loss counted
	$(BIN)/python -m tests.bench.capture

clean: ## everything that was built or installed here
	rm -rf .venv .venv-detectors .venv-explainer .tools build demo
