#!/usr/bin/env bash
# The Autobahn cases of WebSocket, through the balancer:
#   scripts/websocket.sh [BINARY [--all]]      (default: cargo's release build)
# Each case is run against an echo server directly, through a balancer before it, and through the same
# balancer over TLS. Fails if one does not conform that does directly. Takes about a minute. With --all the cases that
# compress megabytes come too, which take many minutes. Needs Python 3 with venv; installs kosoku, which runs the
# cases, and websockets, which answers them, from PyPI into a folder that is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-${CARGO_TARGET_DIR:-target}/release/ringherd}
if [ ! -x "$binary" ]; then
    echo "there is no $binary: build it with cargo build --release, or name another one" >&2
    exit 64
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'kosoku>=0.1,<0.2' 'websockets>=17,<18'

# A case sends a message of 65,536 fragments, more than that server takes by default.
WEBSOCKETS_MAX_FRAGMENTS=1000000 PYTHONDONTWRITEBYTECODE=1 \
    "$work/venv/bin/python" scripts/websocket.py "$binary" "${@:2}"
