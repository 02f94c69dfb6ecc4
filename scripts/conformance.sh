#!/usr/bin/env bash
# Black-box suites against a release build, one after another:
#   scripts/conformance.sh FOLDER [BINARY [SUITE …]]
# FOLDER holds the suites (t_smuggle.py and so on), which are not part of this repository. SUITE is one of
# those below; all of them if none is named. Prints what failed, and the count of each.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
binary=${2:-${CARGO_TARGET_DIR:-target}/release/ringherd}
all=(smuggle h2 semantics slow limits fd semantics_tls slow_tls admin kill)
suites=("${@:3}")
((${#suites[@]})) || suites=("${all[@]}")

work=$(mktemp -d)
background=()
cleanup() {
    for pid in "${background[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

python=$work/python/bin/python3
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet hpack websockets

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until somebody listens on a port of this machine.
await_port() {
    for _ in {1..100}; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nobody listens on port $1:"
    cat "$work/log"
    return 1
}

# Starts a balancer with options; sets `balancer` (its process), `public`, and `admin`. It listens
# before it has replicas; what comes then is answered when they are there.
start_balancer() {
    public=127.0.0.1:$(free_port)
    admin=127.0.0.1:$(free_port)
    "$binary" --listen "$public" --admin-listen "$admin" "$@" 2>"$work/log" &
    balancer=$!
    await_port "${public##*:}"
}

# It must end as it was asked to, and say so.
stop_balancer() {
    kill -TERM "$balancer"
    wait "$balancer"
}

# The origin of all suites records what it gets. It splices tunnels to an echo server.
start_origin() {
    local data echo
    data=$(free_port)
    control=$(free_port)
    echo=$(free_port)
    origin=127.0.0.1:$data
    "$python" "$folder/wsecho.py" "$echo" >/dev/null 2>&1 &
    background+=($!)
    "$python" "$folder/origin.py" --port "$data" --ctl "$control" --ws "127.0.0.1:$echo" >/dev/null 2>&1 &
    background+=($!)
    await_port "$data"
    await_port "$control"
    await_port "$echo"
    # Killed at the end, which is no news.
    disown -a
}

# A balancer before that origin alone, with one worker: the suites look at its memory and descriptors. Two of
# their cases presume time-outs of at most 20 s; they are shorter here, so that nobody waits for them.
before_origin() {
    start_balancer --upstream "$origin" --workers 1 --response-timeout 6s --body-timeout 6s "$@"
    until curl --silent --fail --output /dev/null "http://$public/home"; do sleep 0.1; done
}

before_origin_with_tls() {
    secure=127.0.0.1:$(free_port)
    before_origin --tls-listen "$secure" --tls-self-signed "$@"
    await_port "${secure##*:}"
}

# Runs a suite: its name, then its options. Only what failed and the last line are printed.
suite() {
    "$python" "$folder/t_$1.py" --proxy "$public" --ctl "127.0.0.1:$control" "${@:2}" | grep -v '^PASS' ||
        return "${PIPESTATUS[0]}"
}

suite_over_tls() {
    "$python" scripts/over_tls.py "$folder/t_$1.py" --proxy "$secure" --ctl "127.0.0.1:$control" "${@:2}" |
        grep -v '^PASS' || return "${PIPESTATUS[0]}"
}

# A client that has closed its sending side is served, or it has gone: two cases contradict each other. One
# presumes the default, all others the option.
presumes_abort=client_abort_releases_origin

run_smuggle() {
    before_origin --half-close serve
    suite smuggle
}

run_h2() {
    before_origin
    suite h2 --pid "$balancer"
}

run_semantics() {
    before_origin --half-close serve
    suite semantics --only "^(?!$presumes_abort)"
    stop_balancer
    before_origin
    suite semantics --only "^$presumes_abort"
}

run_semantics_tls() {
    before_origin_with_tls --half-close serve
    suite_over_tls semantics --only "^(?!$presumes_abort)"
    stop_balancer
    before_origin_with_tls
    suite_over_tls semantics --only "^$presumes_abort"
}

# The idle time-out is shorter than its default, so that nobody waits a minute for it.
run_slow() {
    before_origin --keep-alive 20s
    suite slow --pid "$balancer" --hdr-limit 15 --idle-limit 30
}

run_slow_tls() {
    before_origin_with_tls --keep-alive 20s
    suite_over_tls slow --pid "$balancer" --hdr-limit 15 --idle-limit 30
}

run_limits() {
    before_origin
    suite limits --pid "$balancer"
}

run_fd() {
    ulimit -S -n 256
    before_origin
    ulimit -S -n "$(ulimit -H -n)"
    suite fd --pid "$balancer" --preset
}

# The first interface under attack: each case must leave the cluster as it was. Once as it runs by default,
# once with a token and without the admin routes on the public address.
run_admin() {
    local token=conformance-token
    start_balancer --max-replicas 50
    suite admin --max 50
    stop_balancer
    export RINGHERD_ADMIN_TOKEN=$token
    start_balancer --max-replicas 50 --public-admin off
    unset RINGHERD_ADMIN_TOKEN
    suite admin --admin "$admin" --token $token --max 50
}

# `kill -9` of a replica under load, seen by a load generator that is not ours.
run_kill() {
    start_balancer
    (sleep 2 && exec pkill -KILL -P "$balancer" -f 'Server 2') &
    local report killer=$!
    report=$(python3 "$folder/loadgen.py" "$public" -c 32 -t 5 --rps 400)
    echo "$report"
    # It fails if there was nothing to kill.
    wait "$killer"
    grep -q 'killed by signal 9' "$work/log"
    REPORT=$report python3 -c '
import json, os
report = json.loads(os.environ["REPORT"])
assert report["ok"] > 1000, "too little load to say anything"
assert report["failed"] == 0, "requests failed"
assert report["worst_gap_ms"] < 500, "a gap of half a second"'
}

# One suite, with balancers of its own.
run() {
    trap 'kill -KILL "$balancer" 2>/dev/null || true' EXIT
    "run_$1"
    stop_balancer
}

start_origin
failed=()
for name in "${suites[@]}"; do
    began=$SECONDS
    echo "- $name"
    # In the background, where the first command that fails ends it.
    run "$name" &
    wait $! || failed+=("$name")
    echo "  $((SECONDS - began)) s"
done
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}"
    exit 1
fi
