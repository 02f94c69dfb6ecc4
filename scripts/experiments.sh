#!/usr/bin/env bash
# Runs all experiments on a balancer of their own, prints their figures, and renews the charts and the
# summary in docs/experiments:
#   scripts/experiments.sh [SEED]
set -euo pipefail
cd "$(dirname "$0")/.."
command=(cargo run --release --quiet -- experiment all --seed "${1:-1}" --out docs/experiments)
echo "${command[*]}"
"${command[@]}"
# The page repeats the summary, and the data is the summary's in full: neither is kept.
rm docs/experiments/index.html docs/experiments/results.json
