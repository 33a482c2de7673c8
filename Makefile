# Every target does its own set-up; a second call starts at once. `make help` lists them.
.PHONY: help run test check bench soak setup
.DEFAULT_GOAL := help
GROUP ?=

help:
	@echo "make run     the whole product locally: sandbox vendors, host, page"
	@echo "make test    all tests (GROUP=unit|contract|system|browser for one group)"
	@echo "make check   format, lint, types, import rules"
	@echo "make bench   figures: import cost and others"
	@echo "make soak    the long runs: histories, killed hosts, sessions that die in pairs (hours)"

setup:
	@bash scripts/setup.sh

run: setup
	@exec .venv/bin/python -m sandbox.run

test: setup
	@exec .venv/bin/python scripts/test.py $(GROUP)

check: setup
	@exec bash scripts/check.sh

bench: setup
	@exec .venv/bin/python scripts/bench.py

soak: setup
	@exec bash scripts/soak.sh
