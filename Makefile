# make demo        port examples/ to JAX, check the ports quickly against the originals, show the report
# make test        what CI runs: lint, types, layers, tests
# make support     docs/support/: what is supported of torch, by its own samples; runs what has changed
# make eval DATASET=PATH  how well the configured language model ports a dataset: costs what it costs
# make extension   types and unit tests of the VS Code extension: needs node
# make e2e         the extension in a real VS Code: needs node, chromium and a C++ compiler
# All install into .venv what constraints.txt pins, once. PYTHON=... chooses the interpreter.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
PYTEST ?= -n 2 --dist loadfile
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test support eval extension e2e

# Exit code 1 is findings: examples/functional.py has a call that no rule can port, on purpose.
demo: .venv/.installed
	@.venv/bin/torchport port examples --quick --output build-report/demo \
		--report build-report/demo/report.json || test $$? -eq 1

test: .venv/.installed-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright --pythonpath .venv/bin/python
	.venv/bin/lint-imports
	.venv/bin/pytest $(PYTEST)

support: .venv/.installed-dev
	.venv/bin/python -m tests.translators.support

eval: .venv/.installed-dev
	@test -n "$(DATASET)" || { echo "Name a dataset: make eval DATASET=examples CONTEXTS=none,retrieved"; exit 2; }
	.venv/bin/torchport eval $(DATASET) --contexts $(or $(CONTEXTS),none,random,retrieved)

extension:
	npm ci --silent --no-audit --no-fund --prefix vscode-extension
	npm test --silent --prefix vscode-extension

e2e: .venv/.installed
	tests/e2e/vscode/setup.sh
	npm test --silent --prefix vscode-extension
	node tests/e2e/vscode/run.mjs --controls

.venv/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=PATH"; exit 2; }
	@echo "Installing torch, jax, flax and torchport into .venv (once; this takes minutes) ..."
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade pip
	$(PIP) --editable '.[torch,jax,mlx]'
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) --editable '.[tui,llm]' --group dev
	@touch $@
