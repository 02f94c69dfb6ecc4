#!/usr/bin/env bash
# Kills, adds and removes replicas under load, and prints what clients noticed:
#   scripts/failover.sh
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --release --test failover -- --nocapture --test-threads 1 |
    grep -E '^(kill|all killed|/add|nine|test result)'
