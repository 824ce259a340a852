# Every target makes its own environment in .venv from a hashed lock; nothing else is needed
# but git, make and python3 (3.11 to 3.13).

PYTHON ?= python3
BIN := .venv/bin
# Set by CI to the number of cores; locally pytest-xdist counts them.
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo demo-trade image audit test test-image lint bench soak format proto prisma lock pins clean env env-dev

help: ## Show what there is to run
	@echo "Strongroom. First run: make demo"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: env ## Boot an attested enclave: orders, log, track record, proved
	@$(BIN)/strongroom demo

demo-trade: env ## Let a strategy trade here, feed to fills (half a minute)
	@$(BIN)/strongroom demo-trade

image: env ## Build the measured image (the first time ten minutes)
	@$(BIN)/strongroom image build $(if $(INPUTS),--inputs $(INPUTS)) $(if $(FRESH),--fresh)

# INPUTS=DIR, RELEASE=FILE, IMAGE=FILE, DOCUMENT=FILE, ENCLAVE=ADDRESS, OUT=DIR, OFFLINE=1. `make`
# says only whether it failed; `strongroom audit` itself exits with 1, 2 or 5.
audit: env-dev ## Rebuild the image twice, compare, report (fifteen minutes)
	@$(BIN)/strongroom audit $(if $(INPUTS),--inputs "$(INPUTS)") $(if $(RELEASE),--release "$(RELEASE)") \
	  $(if $(IMAGE),--image "$(IMAGE)") $(if $(DOCUMENT),--document "$(DOCUMENT)") \
	  $(if $(ENCLAVE),--enclave "$(ENCLAVE)") $(if $(OUT),--out "$(OUT)") $(if $(OFFLINE),--offline)

# Tests of one module share what they have started: a module stays with one worker.
test: env-dev ## Run all tests (some ten minutes on two cores)
	@$(BIN)/python .tools/prisma.py install
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

# STRONGROOM_IMAGE=FILE tests another image, with its release record beside it.
test-image: env-dev image ## Boot the image in QEMU, use it, and compare QEMU's PCRs
	@STRONGROOM_IMAGE=$${STRONGROOM_IMAGE:-$$(ls -t build/image/*.eif | head -n 1)} \
	  $(BIN)/python -m pytest tests/image

lint: env-dev ## Check style, types, import contracts, generated files
	@$(BIN)/python .tools/lint.py

bench: env-dev ## Measure every stage beside its peer: build/bench.json
	@-$(BIN)/python .tools/bench_peers.py
	@$(BIN)/python .tools/bench.py

# PARTS="log ring" runs only these, RESUME=1 only those that have not passed at this commit.
soak: env-dev ## Run what takes long: kills, floods, more fuzzing (hours)
	@JOBS=$(JOBS) $(BIN)/python .tools/soak.py $(PARTS) $(if $(RESUME),--resume)

format: env-dev ## Format the code and apply safe lint fixes
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

proto: env-dev ## Re-make the protobuf stubs of the wire contract
	@$(BIN)/python .tools/proto.py

prisma: env-dev ## Re-make the database's typed rows from prisma/schema.prisma
	@$(BIN)/python .tools/prisma_rows.py

lock: env-dev ## Re-make the hashed locks (UPGRADE=1 takes newer versions)
	@test -x build/lock-tools/bin/uv || $(BIN)/python -m pip install -q --target build/lock-tools uv
	@$(BIN)/python .tools/lock.py $(if $(UPGRADE),--upgrade)
	@$(BIN)/python .tools/wheel_pins.py

pins: env-dev ## Take the newest packages into the pins (CHECK=1 compares)
	@$(BIN)/python .tools/wheel_pins.py $(if $(CHECK),--check)
	@$(BIN)/python .tools/pins.py $(if $(CHECK),--check)

clean: ## Remove the environment, caches and build output
	rm -rf .venv build prisma/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@$(PYTHON) .tools/bootstrap.py demo

env-dev:
	@$(PYTHON) .tools/bootstrap.py dev
