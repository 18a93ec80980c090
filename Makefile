# Everything a newcomer needs: `make demo` and `make test`. The first run sets up .venv from the locked, hashed
# requirements; later runs find the stamps in it and need no network.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
ARGS   ?=

# Versions younger than this are not locked, so that a hijacked release has time to be noticed.
LOCK_AGE := 7 days
COMPILE  := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
            --custom-compile-command "make lock" --exclude-newer "$(LOCK_AGE)" --upgrade

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test nightly ceph lint types bench lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Watch a policy travel from a commit to an enforced decision, and back (about a minute)
	@$(BIN)/writ demo $(ARGS)

test: $(VENV)/.dev ## Run the tests, without network (ARGS="-k name" to select)
	@$(BIN)/pytest -n auto -q $(ARGS)

nightly: $(VENV)/.dev ## Try the laws of the matcher on many more examples, and every fault at every request (an hour on two cores)
	@WRIT_TEST_PROFILE=nightly $(BIN)/pytest -n auto -q tests/unit/policy_core/matcher tests/unit/policy_core/condition \
	  tests/unit/builder/publishing/test_stress.py tests/integration/test_openapi.py tests/integration/test_decision_log_killed.py $(ARGS)

ceph: $(VENV)/.dev ## Ask a real S3 server: the tests of stores and of publishing under stress (needs Debian's radosgw)
	@tests/with_ceph.sh $(BIN)/pytest -q -k ceph tests/unit/bundle_store/test_contract.py tests/unit/builder/publishing $(ARGS)

lint: $(VENV)/.dev ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Check types
	@$(BIN)/mypy

bench: $(VENV)/.bench ## Measure decisions, builds and activations beside their peers
	@$(BIN)/python -m benchmarks $(ARGS)

lock: ## Choose versions anew and write requirements/*.lock (needs uv and the network)
	$(COMPILE) pyproject.toml --extra demo --group build -o requirements/demo.lock
	$(COMPILE) pyproject.toml --extra demo --extra fleet --group dev -c requirements/demo.lock -o requirements/dev.lock
	$(COMPILE) pyproject.toml --extra demo --extra fleet --group dev --group bench -c requirements/dev.lock -o requirements/bench.lock

clean: ## Remove everything that was made here, .venv too
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/independent/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment does not survive a moved checkout or the loss of its Python: begin anew then.
ifneq ($(wildcard $(VENV)/.home),)
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/.home),$(CURDIR))
$(info The virtual environment was made elsewhere or lost its Python: setting it up again)
$(shell rm -rf $(VENV))
endif
endif

$(VENV)/.home:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'error: $(PYTHON): Python 3.11 or newer is needed (found: '"$$($(PYTHON) --version 2>&1 | head -n 1)"')' >&2; \
	  echo 'hint: name one that you have, such as: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Setting up $(VENV) (once)' >&2
	@$(PYTHON) -m venv $(VENV)
	@printf '%s' '$(CURDIR)' > $@

$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: requirements/%.lock pyproject.toml | $(VENV)/.home
	@echo 'Installing requirements/$*.lock' >&2
	@$(PIP) install --require-hashes -r $<
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@ $(if $(filter dev bench,$*),$(VENV)/.demo) $(if $(filter bench,$*),$(VENV)/.dev)
