#!/usr/bin/env bash
# Holds the OpenAPI document of the admin API against a running balancer, with schemathesis:
#   scripts/schemathesis.sh [BINARY]      (default: the newest of cargo's release and debug build)
# Fails on any finding. Needs Python 3 with venv; installs schemathesis from PyPI into a folder
# that is removed afterwards, or uses the one named by SCHEMATHESIS. Takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
binary=${1:-$({ ls -t "$target"/{release,debug}/ringherd 2>/dev/null || true; } | head -n 1)}
if [ ! -x "$binary" ]; then
    echo "no binary to check: cargo build, or name one" >&2
    exit 64
fi

work=$(mktemp -d)
balancer=
cleanup() {
    if [ -n "$balancer" ]; then kill -TERM "$balancer" 2>/dev/null || true; wait "$balancer" || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

st=${SCHEMATHESIS:-$work/venv/bin/st}
if [ -z "${SCHEMATHESIS:-}" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4.32,<5'
fi

# With a token, so that it is seen whether anything can be had without it. Few replicas, so that
# adding is cheap.
export RINGHERD_ADMIN_TOKEN=token-of-this-run
# There before it is looked into, however late the balancer begins.
: >"$work/log"
"$binary" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --max-replicas 8 --log-format json \
    2>"$work/log" &
balancer=$!
address_of() { sed -n "s/.*\"message\":\"$1\".*\"address\":\"\([^\"]*\)\".*/\1/p" "$work/log" | head -n 1; }
admin=
for _ in {1..100}; do
    admin=$(address_of 'admin API is up')
    if [ -n "$admin" ] && grep -q '"message":"listening"' "$work/log"; then break; fi
    sleep 0.1
done
if [ -z "$admin" ]; then
    cat "$work/log" >&2
    exit 69
fi

# The stream of events has no end, so only its beginning is looked at here.
python3 - "$admin" <<'PYTHON'
import os, sys, urllib.request
request = urllib.request.Request(f"http://{sys.argv[1]}/events")
request.add_header("Authorization", "Bearer " + os.environ["RINGHERD_ADMIN_TOKEN"])
with urllib.request.urlopen(request, timeout=30) as answer:
    assert answer.headers["Content-Type"] == "text/event-stream", answer.headers
    assert answer.headers["Cache-Control"] == "no-store", answer.headers
    assert answer.readline().startswith((b":", b"id: ", b"event: "))
PYTHON

# In the folder that is removed, because it leaves files behind.
scripts=$PWD/scripts
# A debug build takes a quarter of a minute for the largest ring. One worker: Python 3.11 counts how deep it parses for
# all threads together, and fails with a SystemError if two parse at once.
(
    cd "$work"
    export PYTHONPATH=$scripts PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=schemathesis_hooks
    "$st" --config-file "$scripts/schemathesis.toml" run "http://$admin/openapi.json" --url "http://$admin" \
        --header "Authorization: Bearer $RINGHERD_ADMIN_TOKEN" --exclude-path /events \
        --checks all --exclude-checks object_level_authorization \
        --workers 1 --max-examples "${MAX_EXAMPLES:-30}" --seed 1 --continue-on-failure \
        --request-timeout 60 --max-response-time 60
)

# It must have lived through all of that, and end as it was asked to.
kill -TERM "$balancer"
wait "$balancer"
balancer=
