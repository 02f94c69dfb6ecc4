#!/usr/bin/env bash
# Whether what others read of the metrics is right: the formats, the alert rules, and each query of
# the dashboard, in a Prometheus that scrapes a balancer:
#   scripts/check-metrics.sh [BINARY]
# BINARY is $CARGO_TARGET_DIR/release/ringherd by default. What is missing of promtool, prometheus
# (Debian's package) and Python's prometheus-client is fetched into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-${CARGO_TARGET_DIR:-target}/release/ringherd}
if [ ! -x "$binary" ]; then
    echo "there is no $binary: build it with cargo build --release, or name another one" >&2
    exit 1
fi
work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# What it takes.
if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then
    mkdir "$work/deb"
    (cd "$work/deb" && { timeout 60 apt-get -qq download prometheus 2>/dev/null ||
        { apt-get -qq update && timeout 60 apt-get -qq download prometheus; } } && dpkg-deb -x ./*.deb .)
    PATH=$work/deb/usr/bin:$PATH
fi
python=python3
if ! python3 -c 'import prometheus_client' 2>/dev/null; then
    python3 -m venv "$work/venv"
    timeout 60 "$work/venv/bin/pip" -q --disable-pip-version-check install prometheus-client
    python=$work/venv/bin/python
fi

# The files by themselves.
promtool check config contrib/prometheus.yml
promtool test rules contrib/alerts.test.yml

# A balancer, and a Prometheus with the configuration that users begin with.
public=127.0.0.1:$(free_port)
admin=127.0.0.1:$(free_port)
console=127.0.0.1:$(free_port)
token=metrics-check-token
printf %s "$token" >"$work/token"
RINGHERD_ADMIN_TOKEN=$token "$binary" --listen "$public" --admin-listen "$admin" --public-admin off \
    --access-log "$work/access.log" 2>"$work/balancer.log" &
pids+=($!)
cp contrib/alerts.yml "$work/"
sed -e "s/127\.0\.0\.1:5001/$admin/" -e 's/_interval: 15s/_interval: 1s/' \
    -e 's/# \(authorization:\)/\1/' -e 's/#   \(type: Bearer\)/  \1/' \
    -e "s|#   credentials_file: .*|  credentials_file: $work/token|" contrib/prometheus.yml >"$work/prometheus.yml"
promtool check config "$work/prometheus.yml" >/dev/null
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="$console" --log.level=warn 2>"$work/prometheus.log" &
pids+=($!)

if ! timeout 180 "$python" scripts/check-metrics.py "$public" "$admin" "$token" "$console"; then
    tail -n 20 "$work/balancer.log" "$work/prometheus.log" >&2
    exit 1
fi
curl -sf -H "Authorization: Bearer $token" "$admin/metrics" | promtool check metrics
echo "promtool has nothing to say about the metrics"
