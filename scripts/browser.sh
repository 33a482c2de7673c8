#!/usr/bin/env bash
# Chromium for the browser tests: Debian's package, installed where none is there. Needs root for that; a browser never comes
# from anywhere else. MAILSPAN_CHROMIUM names another one.
set -euo pipefail

[ -n "${MAILSPAN_CHROMIUM:-}" ] && [ -x "$MAILSPAN_CHROMIUM" ] && exit 0
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "The browser tests need Chromium: install it (Debian: apt-get install chromium), or set MAILSPAN_CHROMIUM to one." >&2
  exit 1
fi
echo "Setting up: Chromium (about a minute) ..."
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1 ||
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; }
