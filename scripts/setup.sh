#!/usr/bin/env bash
# Makes .venv and node_modules from the pins. Stamped by the pins' hash: a second call only compares two lines.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { echo "Mailspan needs $1" >&2; exit 1; }

stamp=.venv/.mailspan-stamp
wanted=$(cat requirements*.txt package.json package-lock.json .python-version | cksum)
[ -f "$stamp" ] && [ -d node_modules ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

command -v python3 >/dev/null || need "Python 3.13: install it (pyenv install 3.13) and run this again."
python3 -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null ||
  need "Python 3.13, and python3 here is $(python3 --version 2>&1 | tail -n 1): install it (pyenv install 3.13) and run this again."
python3 -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv module: install it (Debian: apt-get install python3-venv)."
command -v node >/dev/null || need "Node 20 or newer: install it (Debian: apt-get install nodejs) and run this again."
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || need "Node 20 or newer, and node here is $(node --version): install a newer one."
command -v npm >/dev/null || need "npm: install it (it comes with Node; Debian: apt-get install npm) and run this again."

echo "Setting up: Python packages (about half a minute) ..."
[ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 13))' || python3 -m venv --clear .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
echo "Setting up: npm packages (about half a minute) ..."
npm ci --silent --no-audit --no-fund --ignore-scripts
echo "$wanted" > "$stamp"
echo "Set up."
