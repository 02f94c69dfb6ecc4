#!/usr/bin/env bash
# Builds the image from this checkout, without a registry. Its binary is the lean one, without the
# feature 'tools' (experiment, top, completions, man):
#   scripts/image.sh [TAG]      (default ringherd:latest)
# Needs Rust, a C linker with the static C library (libc6-dev on Debian), and docker. Prints the
# image's name, id and size; fails if it is larger than 13 MB. The build takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-ringherd:latest}
limit=13000000

# The first value of a key in Cargo.toml is the package's.
package() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" Cargo.toml | head -n 1; }

# With the target named, the flags count for what is shipped and not for build scripts.
target=$(rustc -vV | sed -n 's/^host: //p')
# Smaller tables of aws-lc: a megabyte and a half against some time of a handshake. And none to unwind the stack of C,
# which nobody does.
export "CFLAGS_${target//-/_}=-DOPENSSL_SMALL -fno-asynchronous-unwind-tables"
RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile dist --locked --no-default-features \
    --features aws-lc-rs,mimalloc \
    --bin ringherd --target "$target"
binary=${CARGO_TARGET_DIR:-target}/$target/dist/ringherd

# The engine gets two files, not the checkout.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
install -m 0644 Dockerfile "$context/Dockerfile"
install -m 0755 "$binary" "$context/ringherd"
labels=()
source=$(package repository)
if [ -n "$source" ]; then labels=(--label "org.opencontainers.image.source=$source"); fi
before=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
docker build --tag "$tag" \
    --build-arg "VERSION=$(package version)" \
    --build-arg "DESCRIPTION=$(package description)" \
    --build-arg "LICENSES=$(package license)" \
    ${labels[@]+"${labels[@]}"} "$context"

# What had the tag before has no name now; it stays only if something runs from it.
if [ -n "$before" ] && [ "$before" != "$(docker image inspect --format '{{.Id}}' "$tag")" ]; then
    docker image rm "$before" >/dev/null 2>&1 || true
fi

size=$(docker image inspect --format '{{.Size}}' "$tag")
docker image inspect --format "image $tag, id {{.Id}}, {{.Size}} bytes" "$tag"
if [ "$size" -gt "$limit" ]; then
    echo "the image is too large: $size bytes, at most $limit are meant" >&2
    exit 1
fi
