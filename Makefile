# Everything a person or CI runs. Each target sets up what it needs, and says what it does.

VENV ?= .venv
TEST_MODEL := qwen2.5-coder-0.5b
# They skip themselves where their libraries are not installed.
LARGE_TESTS := $(wildcard tests/engine/test_torch_*.py) $(addprefix tests/engine/, \
	test_llama_backend.py test_export.py) tests/test_gpu_benchmark.py
REFERENCE_TESTS := $(LARGE_TESTS) $(addprefix tests/engine/, test_exactness.py \
	test_half_precision.py test_chat_templates.py test_runtimes.py)

# The first of these that is Python 3.11 or newer makes the environment; PYTHON=… overrides.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$p; break; fi; done)

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

# TypeScript and ESLint, for the tests of what asks them.
NODE_CHECKERS := tests/server/typescript/node_modules/.package-lock.json

# Node, and the npm that belongs to it, come with the environment.
WITH_NODE = PATH="$(abspath $(BIN)):$$PATH" npm_config_update_notifier=false

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-reference test-editors lint lint-editors format model vsix \
	bench bench-keystrokes bench-quality bench-raw bench-fix bench-gpu clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## Complete real code at real cursors through the language server
	$(BIN)/midfill models pull
	$(BIN)/python -m benchmarks.demo $(DEMO)

test: $(VENV)/.checkers $(NODE_CHECKERS) model ## Run all tests, with the real small model
	$(BIN)/python -m pytest -n 2 -m "not e2e and not editors" $(ARGS)
	@# One after the other: each worker would load a model of its own.
	$(BIN)/python -m pytest tests/e2e $(ARGS)

test-fast: $(VENV)/.dev ## Run the tests that need no model and no large library (1.5 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 -m "not e2e and not editors and not slow" $(addprefix --ignore=,$(LARGE_TESTS)) $(ARGS)

test-reference: $(VENV)/.reference ## Test what needs PyTorch, llama.cpp or optimum: tiny models against transformers
	$(BIN)/python -m pytest -n 2 $(REFERENCE_TESTS) $(ARGS)

test-editors: $(VENV)/.editors model ## Drive VS Code and Neovim as a user does, with the real small model
	$(BIN)/python -m tests.editors.setup
	@# A module is done by one process; their order is that of tests/editors/conftest.py.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/editors $(ARGS)

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

lint-editors: editors/vscode/node_modules/.package-lock.json editors/neovim/lint/node_modules/.package-lock.json ## Check the sources of the VS Code extension and of the Neovim plugin
	cd editors/vscode && $(WITH_NODE) npm run lint && $(WITH_NODE) npm test
	$(WITH_NODE) node editors/neovim/lint/format.mjs --check
	@command -v luacheck > /dev/null || $(BIN)/python -m tests.editors.setup luacheck
	cd editors/neovim && luacheck --quiet .

format: $(VENV)/.dev ## Rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

vsix: editors/vscode/node_modules/.package-lock.json ## Package the VS Code extension: editors/vscode/dist/midfill-VERSION.vsix
	rm -f editors/vscode/server/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir editors/vscode/server .
	cd editors/vscode && $(WITH_NODE) npm run package

model: $(VENV)/.run
	@$(BIN)/midfill models pull $(TEST_MODEL)

bench: $(VENV)/.dev ## Measure speed and memory (LLAMA_BENCH=path compares with llama.cpp)
	$(BIN)/midfill models pull qwen2.5-coder-0.5b
	$(BIN)/midfill models pull qwen2.5-coder-1.5b
	$(BIN)/python -m benchmarks.latency $(if $(LLAMA_BENCH),--llama-bench $(LLAMA_BENCH)) $(ARGS)

bench-keystrokes: $(VENV)/.bench ## Type into the server and into llama.vim's (LLAMA_SERVER=path, DATA=dir)
	$(BIN)/midfill models pull qwen2.5-coder-0.5b
	$(BIN)/midfill models pull qwen2.5-coder-1.5b
	$(BIN)/python -m benchmarks.keystrokes $(if $(LLAMA_SERVER),--llama-server $(LLAMA_SERVER)) \
		$(if $(DATA),--data $(DATA)) --json benchmarks/results/keystrokes.json \
		--plot benchmarks/results/keystrokes.png $(ARGS)

bench-quality: $(VENV)/.dev ## The right text, cut at the right place (MODEL=id, DATA=dir, ARGS="--set santacoder:40")
	$(BIN)/python -m benchmarks.quality --model $(or $(MODEL),qwen2.5-coder-0.5b) --download \
		$(if $(DATA),--data $(DATA)) $(or $(ARGS),--quick)

bench-raw: $(VENV)/.dev ## The raw model on HumanEval, MBPP and infilling (MODEL=id, DATA=dir, ARGS="--set humaneval:40")
	$(BIN)/python -m benchmarks.humaneval --model $(or $(MODEL),qwen2.5-coder-0.5b) --download \
		$(if $(DATA),--data $(DATA)) $(ARGS)

bench-fix: $(VENV)/.dev ## Mistakes in real files, fixed and checked anew (MODEL=id, DATA=dir, ARGS="--typescript DIR/node_modules")
	$(BIN)/midfill models pull $(or $(MODEL),qwen2.5-coder-0.5b)
	$(BIN)/python -m benchmarks.fix --model $(or $(MODEL),qwen2.5-coder-0.5b) $(if $(DATA),--data $(DATA)) $(ARGS)

bench-gpu: $(VENV)/.reference ## Measure a CUDA GPU with weights in Code Llama's shapes (ARGS="--part decode")
	$(BIN)/python -m benchmarks.gpu --json benchmarks/results/gpu.json $(ARGS)

clean: ## Delete the environment and what tools left (models stay)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist \
		editors/*/node_modules editors/neovim/lint/node_modules editors/vscode/dist \
		tests/server/typescript/node_modules

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; found none. PYTHON=/path/to/python make …"; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@# Dependency groups need pip 25.1.
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml
	@echo "Installing midfill and what it needs"
	@$(BIN)/python -m pip install --progress-bar on --editable ".[cpu]" | grep -v "already satisfied" || true
	@$(BIN)/midfill --version
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install --quiet --editable ".[cpu,websocket]" --group test --group lint
	@touch $@

$(VENV)/.checkers: $(VENV)/.dev
	@echo "Installing the checkers whose diagnostics are fixed: mypy, Go, ShellCheck and others"
	@$(BIN)/python -m pip install --quiet --group checkers
	@# It fetches its larger part at its first start: not in the midst of a test.
	@$(BIN)/pyright --version
	@# No registry of Python or Node brings compilers.
	@$(BIN)/python -m tests.editors.setup clang gcc rustc cargo || \
		echo "The tests of what is missing will be skipped."
	@touch $@

$(NODE_CHECKERS): $(VENV)/.checkers tests/server/typescript/package-lock.json
	@echo "Installing TypeScript and ESLint"
	@cd tests/server/typescript && $(WITH_NODE) npm ci --no-audit --no-fund --silent
	@touch $@

$(VENV)/.editors: $(VENV)/.dev
	@echo "Installing Neovim, Node and what drives them"
	@$(BIN)/python -m pip install --quiet --group editors
	@touch $@

editors/vscode/node_modules/.package-lock.json: $(VENV)/.editors editors/vscode/package-lock.json
	@echo "Installing what the VS Code extension is built with"
	cd editors/vscode && $(WITH_NODE) npm ci --no-audit --no-fund
	@touch $@

editors/neovim/lint/node_modules/.package-lock.json: $(VENV)/.editors editors/neovim/lint/package-lock.json
	cd editors/neovim/lint && $(WITH_NODE) npm ci --no-audit --no-fund
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing what the plots need"
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@

$(VENV)/.reference: $(VENV)/.dev
	@echo "Installing PyTorch, transformers and optimum"
	@$(BIN)/python -m pip install --quiet --group reference
	@echo "Compiling llama.cpp (7 minutes on 2 cores)"
	@$(BIN)/python -m pip install --quiet --editable ".[llama]" || \
		echo "llama.cpp could not be compiled (is there a C++ compiler?): its tests will be skipped."
	@touch $@
