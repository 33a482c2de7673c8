#!/usr/bin/env bash
# Format, lint, types, import rules, and our own greps. Runs all of them and fails if one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
step() { echo "== $1"; shift; "$@" || failed=1; }

# A pattern that must not stand in the product, and why.
absent() { # pattern, why, files to leave out
  ! git grep -nE "$1" -- 'shared/*.py' 'functions/*.py' function_app.py ${3:+":!$3"} || { echo "   $2" >&2; false; }
}

step "format" .venv/bin/ruff format --check --quiet .
step "lint" .venv/bin/ruff check --quiet .
step "types" .venv/bin/mypy --strict shared functions function_app.py
step "import rules" .venv/bin/lint-imports --no-cache
step "no sleeping" absent '\bsleep\(' "waiting is a delayed ring, never a sleep"
step "one clock" absent 'datetime\.now\(|utcnow\(|time\.time\(' "time comes from the Clock port" 'shared/clock.py'
step "compiles" .venv/bin/python -m compileall -q shared functions function_app.py
[ $failed = 0 ] && echo "all checks passed"
exit $failed
