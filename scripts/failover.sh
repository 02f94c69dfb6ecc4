#!/usr/bin/env bash
# Kills, adds and removes replicas under load, and prints what clients noticed:
#   scripts/failover.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# The tests take turns by themselves; with one thread the runner would print on the same lines.
cargo test --release --test failover -- --nocapture 2>/dev/null |
    grep -E '^(kill|all killed|a slow|/add|nine|test result)'
