# Everything a person or a machine does here, one word each. Each target makes what it needs.
.DEFAULT_GOAL := help
.PHONY: help demo run test check format bench build clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## Show the main job end to end: publisher, broker, every road there is, OTP-Pi, emulated modem
	@$(BIN)/python -m examples.demo

run: $(READY)  ## Start a broker on 127.0.0.1:9000 with a generated account
	@$(BIN)/python -m examples.run

test: $(READY) tests/wire/node/node_modules  ## Run the tests, with branch coverage and its gate
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

check: $(READY)  ## Format and lint check, strict types, then the tests with warnings as errors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: $(READY)  ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## Measure this broker against others, side by side; FULL=1 for every dimension (up to an hour)
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix bench || true; fi
	$(BIN)/python -m bench $(if $(FULL),full)

build: $(READY)  ## Build the wheel and the source archive into dist/
	$(BIN)/pip -q install build
	$(BIN)/python -m build

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/wire/node/node_modules

# A Debian without python3-venv makes an environment without pip: say what is missing, or install it where we may.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv; } \
	  || { echo "Python's venv module is missing; on Debian: sudo apt install python3-venv" >&2; exit 1; }
	@[ -x $(BIN)/python ] || { echo "Setting up $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip -qq --disable-pip-version-check install -e '.[dev]'
	@touch $@

# The node client of the tests; without npm those tests say why they are skipped.
tests/wire/node/node_modules: $(wildcard tests/wire/node/package-lock.json)
	@if command -v npm >/dev/null && [ -f tests/wire/node/package-lock.json ]; then \
	  cd tests/wire/node && npm ci --silent --no-audit --no-fund; \
	else echo "npm is not there: the tests with node's ws are skipped"; fi
