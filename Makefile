# Every target does its own set-up; a second call starts at once. `make help` lists the targets.
# `exec` lets a signal that make passes on reach the program itself and not a shell around it.
.PHONY: help run test check bench soak setup-run setup-dev
.DEFAULT_GOAL := help
GROUP ?=

help:
	@echo "make run     the whole product locally; Ctrl-C or SIGTERM ends it and all its children"
	@echo "make test    all tests (GROUP=unit|contract|system|browser for one group)"
	@echo "make check   format, lint, types, import rules, docs (under 2 minutes)"
	@echo "make bench   figures with their goals: import cost and others"
	@echo "make soak    the law over 50,000 histories (MAILSPAN_HISTORIES sets how many); may take an hour"

setup-run:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev

run: setup-run
	@exec .venv/bin/python -m sandbox.run

test: setup-dev
	@exec .venv/bin/python scripts/test.py $(GROUP)

check: setup-dev
	@exec scripts/check.sh

bench: setup-dev
	@exec .venv/bin/python scripts/bench.py

soak: setup-dev
	@MAILSPAN_HISTORIES=$${MAILSPAN_HISTORIES:-50000} exec .venv/bin/python -m pytest -q -o faulthandler_timeout=0 tests/property
