#!/usr/bin/env bash
# Sees to it that the browser tests find `chromium` on the PATH. Where it is missing and we may install (root, or sudo that
# asks nothing), Debian's package is fetched; else one sentence says what to install, and the browser group fails.
set -euo pipefail

command -v chromium >/dev/null && exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
  echo "Installing Chromium for the browser tests (about a minute)"
  install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }
  install 2>/dev/null || { $as_root apt-get update -qq >/dev/null && install; }
fi
command -v chromium >/dev/null && exit 0
echo "The browser tests need chromium on the PATH: install it (Debian: apt-get install chromium) and run this again." >&2
exit 1
