# Everything that people and builds do here, by one word each.
#
#   make demo        two releases of a real model travel the whole path, on this machine
#   make test        the tests
#   make fuzz        an hour of wrong and odd requests against a gateway; FUZZ_S says how long
#   make kills       every process killed at many moments of a release's life; an hour
#   make crash       every kind of durable step of a gateway killed, failed and cut off; 20 minutes
#   make bench-serving   our server and its peers in one ring; 20 minutes
#   make bench-switch    what a switch costs under load, and how fast is the way back; 9 minutes
#   make bench-predict   the prediction function and what people write instead; 7 minutes
#   make bench-fleet     what 10,000 gateways ask of the bucket; 7 minutes
#   make coverage    the tests, and which lines and branches they reach
#   make check       format, lint, types, imports, tests
#   make status-page take the picture of the status page in docs/images anew; 15 minutes
#   make archive     what is uploaded to deploy a function; FUNCTION says which
#   make container-context   what the gateway's image is built from, in .build/container
#   make wheels      ask the index whether amd64 and arm64 have every package of a gateway
#   make pins        compile the requirement files again

PYTHON ?= python3
UV := .venv/bin/uv
RUN := .venv/bin/python
export UV_PYTHON_DOWNLOADS := never
# ONNX Runtime would tell its maker what runs here.
export ORT_DISABLE_TELEMETRY := 1

SHARED_SOURCES := $(shell find packhorse edge_runtime -name '*.py' -o -name '*.html' -o -name '*.css' 2>/dev/null)
MAGIKA := .cache/magika-0.6.1/.complete .cache/magika-1.0.1/.complete
SCHEMAS := .cache/workflows-emulator-1.10.0/.complete
BENCH := bench/serving/requirements bench/predict/requirements
CLIENTS := .venv-clients/.complete

.PHONY: help setup demo test status-page fuzz kills crash coverage check format lint types imports pins clean system-packages bench-serving bench-switch bench-predict bench-fleet archive container-context wheels
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#  *make /  make /p' Makefile

setup: .venv/.complete .venv-gateway/.complete

demo: setup $(MAGIKA)
	@$(RUN) -m local_cloud.demo --cache .cache $(if $(ONCE),--once)

test: setup $(CLIENTS) $(MAGIKA) $(SCHEMAS) system-packages
	@$(RUN) -m pytest -q -n 2 $(ARGS)

# Its own environments, one for each peer, are made when first needed: .cache/bench.
bench-serving: setup
	@$(RUN) -m bench.serving --edge-runtime .venv-gateway/bin/edge-runtime $(ARGS)

bench-switch: setup
	@$(RUN) -m bench.switch --edge-runtime .venv-gateway/bin/edge-runtime $(ARGS)

bench-predict: setup
	@$(RUN) -m bench.predict $(ARGS)

bench-fleet: setup
	@$(RUN) -m bench.fleet $(ARGS)

kills: setup
	@KILLS_LONG=1 $(RUN) -m pytest -q tests/path/test_kills.py --log-cli-level=INFO $(ARGS)

# Each part's counts are in .build/crash.json; docs/reliability.md has them. Needs root
# for the real power cuts.
crash: setup
	@rm -f .build/crash.json && mkdir -p .build
	@CRASH_WHOLE=1 CRASH_RESULTS=.build/crash.json $(RUN) -m pytest -q -n 2 tests/crash $(ARGS)
	@cat .build/crash.json

# What fails is written to .build/fuzz; a seed, in ARGS, gives the same requests again.
fuzz: setup
	@$(RUN) -m tests.fuzz --seconds $${FUZZ_S:-3600} $(ARGS)

# Takes the time that its chart shows.
status-page: setup system-packages
	@STATUS_PICTURE_S=900 $(RUN) -m pytest -q tests/edge_runtime/views/test_status_page.py -k documentation

coverage: setup $(CLIENTS) $(MAGIKA) $(SCHEMAS) system-packages
	@rm -rf .build/coverage && mkdir -p .build/coverage
	@$(RUN) -m coverage run -m pytest -q -n 2 $(ARGS)
	@# What a killed process, or one under a limit on files, left of its data is no use.
	@$(RUN) -m coverage combine -q 2>/dev/null; rm -f .build/coverage/data.*
	@$(RUN) -m coverage report

check: setup format lint types imports test

format: .venv/.complete
	@$(RUN) -m ruff format --check .

lint: .venv/.complete
	@$(RUN) -m ruff check .

types: .venv/.complete
	@$(RUN) -m mypy

imports: .venv/.complete
	@.venv/bin/lint-imports --no-cache

# What some tests drive comes from Debian; elsewhere those tests are skipped, and say so.
system-packages:
	@sh tests/system_packages.sh

NO_INDEX = { echo "make: the Python index did not answer and nothing is cached: the first run needs the network" >&2; rm -rf $(1); exit 1; }

.venv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed; say which with PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: the venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "make: setting up (once)"
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt \
	  || $(call NO_INDEX,.venv)
	@touch $@

.venv/.complete: .venv/bin/uv requirements/dev.txt pyproject.toml
	@VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes requirements/dev.txt || $(call NO_INDEX,.venv/.complete)
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --offline --editable .
	@touch $@

# A gateway's environment is its own: only its requirement file, and our wheel.
.venv-gateway/.installed: .venv/.complete requirements/gateway.txt
	@$(UV) venv --quiet --clear --python .venv/bin/python .venv-gateway
	@VIRTUAL_ENV=.venv-gateway $(UV) pip sync --quiet --require-hashes requirements/gateway.txt \
	  || $(call NO_INDEX,.venv-gateway)
	@touch $@

.venv-gateway/.complete: .venv-gateway/.installed pyproject.toml $(SHARED_SOURCES)
	@rm -rf .build/dist && $(UV) build --quiet --wheel --no-build-isolation --offline --python .venv/bin/python --out-dir .build/dist .
	@VIRTUAL_ENV=.venv-gateway $(UV) pip install --quiet --no-deps --offline --reinstall .build/dist/*.whl
	@touch $@

# Triton's and KServe's clients, which the tests run as other people's programs.
.venv-clients/.complete: .venv/.complete requirements/clients.txt
	@$(UV) venv --quiet --clear --python .venv/bin/python .venv-clients
	@VIRTUAL_ENV=.venv-clients $(UV) pip sync --quiet --require-hashes requirements/clients.txt \
	  || $(call NO_INDEX,.venv-clients)
	@touch $@

.cache/magika-%/.complete: .venv/.complete requirements/magika-%.txt
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --require-hashes --target $(@D) -r requirements/magika-$*.txt \
	  || $(call NO_INDEX,$(@D))
	@touch $@

# Only the JSON Schema for Workflows is read from it; nothing of it runs.
.cache/workflows-emulator-%/.complete: .venv/.complete requirements/workflows-emulator-%.txt
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --require-hashes --target $(@D) -r requirements/workflows-emulator-$*.txt \
	  || $(call NO_INDEX,$(@D))
	@touch $@

# No engine is needed for this; `podman build .build/container` makes the image of it.
container-context: .venv-gateway/.complete
	@rm -rf .build/container && mkdir -p .build/container
	@cp requirements/gateway.txt edge_runtime/deploy/Containerfile .build/dist/packhorse-*.whl .build/container
	@echo "make: .build/container is ready for podman build, or docker build -f Containerfile"

FUNCTION ?= predict
archive: .venv/.complete
	@$(RUN) -m cloudbuild.archive $(FUNCTION)

# Every package of a gateway must have a wheel on both architectures: asks the index.
WHEELS_FOR = $(UV) pip install --quiet --dry-run --only-binary :all: --python-version 3.12 --target .build/none --python-platform
wheels: .venv/bin/uv
	@for p in x86_64-manylinux_2_28 aarch64-manylinux_2_28; do $(WHEELS_FOR) $$p --require-hashes -r requirements/gateway.txt || exit 1; done

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
CONSTRAINED = $(COMPILE) --constraints requirements/dev.txt pyproject.toml

# One resolution for all, so that the cloud and the gateways run what the tests ran.
pins: .venv/bin/uv
	@$(COMPILE) pyproject.toml --extra gateway --extra functions --extra cli --extra local-cloud --group dev -o requirements/dev.txt
	@$(CONSTRAINED) --extra functions -o requirements.txt
	@$(CONSTRAINED) --extra gateway -o requirements/gateway.txt
	@$(CONSTRAINED) --extra predict -o requirements/predict.txt
	@$(CONSTRAINED) --extra cli -o requirements/cli.txt
	@$(COMPILE) pyproject.toml --extra iot -o requirements/iot.txt
	@$(COMPILE) pyproject.toml --extra clients -o requirements/clients.txt
	@for p in $(BENCH:=/*.in); do $(COMPILE) $$p -o $${p%.in}.txt; done
	@mkdir -p .build && cp requirements/uv.txt .build/ && echo uv | $(COMPILE) --constraints requirements/dev.txt - -o .build/uv.txt
	@# Written only when it changed: a newer one would set everything up anew.
	@cmp -s .build/uv.txt requirements/uv.txt || cp .build/uv.txt requirements/uv.txt
	@echo workflows-emulator==1.10.0 | $(COMPILE) --no-deps - -o requirements/workflows-emulator-1.10.0.txt
	@for v in 0.6.1 1.0.1; do echo "magika==$$v" | $(COMPILE) --no-deps - -o requirements/magika-$$v.txt; done

clean:
	rm -rf .venv .venv-clients .venv-gateway .build .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
