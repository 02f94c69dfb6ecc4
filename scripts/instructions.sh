#!/usr/bin/env bash
# User-space instructions per request of a release binary, compared with scripts/instructions.baseline:
#   scripts/instructions.sh [BINARY]            fails if a workload costs over 3 % more than the baseline
#   scripts/instructions.sh --accept [BINARY]   measures, and makes the result the new baseline
# BINARY is $CARGO_TARGET_DIR/release/ringherd by default. Installs valgrind with apt if it is
# missing. Takes two and a half minutes. What is measured, and how, is at the top of instructions.py.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null; then
    apt-get update -q
    apt-get install -y --no-install-recommends valgrind
fi
exec python3 scripts/instructions.py "$@"
