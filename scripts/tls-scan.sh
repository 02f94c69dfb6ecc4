#!/usr/bin/env bash
# What scanners say of the TLS listener with its defaults:
#   scripts/tls-scan.sh [BINARY]      (default: cargo's release build)
# testssl.sh, sslscan and sslyze look at a balancer with an RSA certificate and one with an ECDSA certificate,
# each for `localhost` and from an authority of this run. Prints a table; fails on what scripts/tls_findings.py
# does not accept, which has the exceptions with their reasons. Takes about a minute. Needs openssl, Debian's
# packages `testssl.sh` and `sslscan`, and Python 3 with venv; installs sslyze from PyPI into a folder that is
# removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-${CARGO_TARGET_DIR:-target}/release/ringherd}
if [ ! -x "$binary" ]; then
    echo "there is no $binary: build it with cargo build --release, or name another one" >&2
    exit 64
fi
for tool in testssl sslscan openssl; do
    if ! command -v "$tool" >/dev/null; then
        echo "there is no $tool: apt-get install testssl.sh sslscan openssl" >&2
        exit 69
    fi
done

work=$(mktemp -d)
balancers=()
cleanup() {
    for pid in "${balancers[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${balancers[@]}"; do wait "$pid" || true; done
    rm -rf "$work"
}
trap cleanup EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'sslyze>=6,<7'

# A certificate of an authority: name, authority (none: its own), extensions, and how its key is made.
certificate() {
    local name=$1 authority=$2 extensions=$3 key=(-newkey "${@:4}")
    local signer=(-signkey "$work/$name.key")
    if [ -n "$authority" ]; then
        signer=(-CA "$work/$authority.pem" -CAkey "$work/$authority.key" -CAcreateserial)
    fi
    openssl req -new -nodes -subj "/CN=$name" "${key[@]}" -keyout "$work/$name.key" -out "$work/$name.csr"
    openssl x509 -req -in "$work/$name.csr" "${signer[@]}" -days 90 -extfile <(printf '%b' "$extensions") \
        -out "$work/$name.pem"
}

authority='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'
host='basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n'
host+='subjectAltName=DNS:localhost,IP:127.0.0.1\n'
rsa=(rsa:2048)
ecdsa=(ec -pkeyopt ec_paramgen_curve:P-256)

# A root, an authority below it, and two certificates of that.
certificates() {
    certificate root '' "$authority" "${ecdsa[@]}"
    certificate between root "$authority" "${ecdsa[@]}"
    certificate rsa between "$host" "${rsa[@]}"
    certificate ecdsa between "$host" "${ecdsa[@]}"
}
certificates 2>"$work/openssl.log" || { cat "$work/openssl.log" >&2; exit 1; }

# Starts a balancer with the certificate of that name; sets `port`.
start_balancer() {
    cat "$work/$1.pem" "$work/between.pem" >"$work/$1.chain"
    : >"$work/$1.log"
    "$binary" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --replicas 1 --log-format json \
        --tls-listen 127.0.0.1:0 --tls-certificate "$work/$1.chain" --tls-key "$work/$1.key" 2>"$work/$1.log" &
    balancers+=($!)
    for _ in {1..100}; do
        port=$(sed -n 's/.*"listening for TLS","address":"[^"]*:\([0-9]*\)".*/\1/p' "$work/$1.log")
        if [ -n "$port" ]; then return; fi
        sleep 0.1
    done
    cat "$work/$1.log" >&2
    return 1
}

# The scanners' own exit codes count what is excepted too, so only their reports are judged.
scan() {
    local name=$1 target=localhost:$2
    testssl --quiet --color 0 --warnings off --nodns none --ip 127.0.0.1 --add-ca "$work/root.pem" \
        --jsonfile "$work/$name.testssl" "$target" >"$work/$name.out" 2>&1 || true
    sslscan --no-colour --xml="$work/$name.sslscan" "$target" >>"$work/$name.out" 2>&1 || true
    "$work/venv/bin/sslyze" --certinfo_ca_file "$work/root.pem" --mozilla_config intermediate \
        --early_data --resum --json_out "$work/$name.sslyze" "$target" >"$work/$name.mozilla" 2>&1 || true
}

scans=()
for name in rsa ecdsa; do
    start_balancer "$name"
    scan "$name" "$port" &
    scans+=($!)
done
wait "${scans[@]}"

failed=
for name in rsa ecdsa; do
    python3 scripts/tls_findings.py "$name" "$work/$name".{testssl,sslscan,sslyze,mozilla} || failed=$name
done
# They must have lived through all of that, and end as they were asked to.
for pid in "${balancers[@]}"; do kill -TERM "$pid"; done
for pid in "${balancers[@]}"; do wait "$pid"; done
balancers=()
[ -z "$failed" ]
