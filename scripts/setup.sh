#!/usr/bin/env bash
# Makes .venv and node_modules from the pins: `scripts/setup.sh run` for the local world, `scripts/setup.sh dev` for tests and
# checks as well. Each is stamped with the pins' checksum, so that a second call compares two lines and ends. What is missing
# on the machine is told in one sentence that says what to install; nothing is installed outside this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  run) extra="" npm_flags="--omit=dev" ;;
  dev) extra="requirements-dev.txt" npm_flags="" ;;
  *) echo "usage: scripts/setup.sh run|dev" >&2; exit 2 ;;
esac

pins() { cat requirements.txt requirements-run.txt package.json package-lock.json .python-version $1 | cksum; }
made() { [ -f ".venv/.made-$1" ] && [ -d node_modules ] && [ "$(cat ".venv/.made-$1")" = "$2" ]; }
need() { echo "Mailspan needs $1 and run this again." >&2; exit 1; }
fits() { "$@" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; }

wanted=$(pins "$extra")
made "$1" "$wanted" && exit 0
made dev "$(pins requirements-dev.txt)" && exit 0 # it holds all that a run needs

python=""
for name in python3.13 python3; do
  if command -v $name >/dev/null && fits $name; then python=$name; break; fi
done
[ -n "$python" ] ||
  need "Python 3.13 or newer, and python3 here is $(python3 --version 2>/dev/null || echo missing): install it (pyenv install 3.13)"
"$python" -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv module: install it (Debian: apt-get install python3-venv)"
command -v node >/dev/null || need "Node 20 or newer: install it (Debian: apt-get install nodejs)"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] ||
  need "Node 20 or newer, and node here is $(node --version): install a newer one (nodejs.org)"
command -v npm >/dev/null || need "npm: install it (it comes with Node; Debian: apt-get install npm)"

rm -f .venv/.made-*
echo "Setting up 1/3: virtual environment .venv ($("$python" --version))"
fits .venv/bin/python || "$python" -m venv --clear .venv
echo "Setting up 2/3: Python packages (10 to 60 s)"
.venv/bin/python -m pip install -qq --disable-pip-version-check -r "${extra:-requirements-run.txt}"
echo "Setting up 3/3: npm packages (10 to 60 s)"
npm ci --silent --no-audit --no-fund --ignore-scripts $npm_flags
echo "$wanted" >".venv/.made-$1"
