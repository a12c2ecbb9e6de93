# The habits of the house, one word each. PYTHON is the environment's interpreter.
PYTHON ?= .venv/bin/python

.PHONY: check audit test test-slow test-data test-emulated fuzz docs bench pi phone board

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

# Known vulnerabilities of what is installed; what an index has no advisories for is listed as left out.
audit:
	$(PYTHON) -m pip_audit --local --skip-editable --progress-spinner off

test:
	$(PYTHON) -m pytest --cov

test-slow:
	$(PYTHON) -m pytest -m slow

test-data:
	$(PYTHON) -m pytest -m real_data

test-emulated:
	$(PYTHON) -m pytest -n 0 -m emulated -rs

# A million inputs over every surface that reads, an hour and more; what it finds stays in tests/fuzz/corpus as a test.
fuzz:
	$(PYTHON) -m tests.fuzz --inputs 1000000

# Writes the pages that are made from the code, then build/site; a link or an anchor that leads nowhere ends it.
docs:
	$(PYTHON) docs/generate.py
	$(PYTHON) -m mkdocs build --strict

bench:
	$(PYTHON) benchmarks/start.py

# Real daemons for arm64 without a board: see docs/devices.md. `make pi phone`, then edgekd devices doctor FOLDER/pi.yaml.
pi phone board:
	devices/emulated/$@.sh start .emulated/$@
