#!/usr/bin/env bash
# The runs that are too long for `make test`, one after the other, all of them even when one fails. Seeds are printed by each.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
step() { echo "== $1"; shift; "$@" || failed=1; }

step "histories of the law" env MAILSPAN_HISTORIES="${MAILSPAN_HISTORIES:-50000}" .venv/bin/python -m pytest tests/property -q -s
step "400 histories of events through the real runtime" .venv/bin/python -m tests.system.histories --seeds 400
step "a host killed 50 times in a first sync of 500 mails" .venv/bin/python -m tests.system.kill --mails 500 --values 50
step "two sessions at once, one dies: 200 seeds" .venv/bin/python -m tests.system.pair --seeds 200
step "our own mistakes: 1,000 mails, 10 of them break each adapter function" .venv/bin/python -m tests.system.broken --mails 1000
[ $failed = 0 ] && echo "all long runs well"
exit $failed
