#!/usr/bin/env bash
# Runs every fuzz target for some seconds each, on whatever toolchain is the default:
#   scripts/fuzz.sh [SECONDS]      (default 10)
# Stops at the first finding, prints it, and leaves its input in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Without a sanitizer the targets build on stable; they look for broken laws, and what is unsafe is in the
# crate of one target, uring_ops, which needs a kernel that has io_uring.
cargo fuzz build --sanitizer none
for target in $(cargo fuzz list); do
    # New inputs go to the first folder.
    folders=("fuzz/corpus/$target")
    if [ -d "fuzz/seeds/$target" ]; then folders+=("fuzz/seeds/$target"); fi
    mkdir -p "${folders[0]}"
    if ! cargo fuzz run --sanitizer none "$target" "${folders[@]}" -- "-max_total_time=$seconds" >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    echo "fuzz $target: $(grep '^Done' "$log")"
done
