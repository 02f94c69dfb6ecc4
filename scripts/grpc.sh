#!/usr/bin/env bash
# gRPC through a release build with Python's implementation, which is not the one of the Rust tests:
#   scripts/grpc.sh [BINARY]
# All kinds of calls, metadata, trailers, statuses, deadlines, and the health service as a heartbeat. Installs
# grpcio from PyPI into a folder that it removes.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-${CARGO_TARGET_DIR:-target}/release/ringherd}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work"
"$work/bin/pip" install --quiet grpcio grpcio-health-checking
"$work/bin/python" scripts/grpc_calls.py "$binary"
