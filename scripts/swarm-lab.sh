#!/usr/bin/env bash
# A Docker Swarm of several nodes on this one machine, for tests. Needs root, dockerd and ip.
#
#   scripts/swarm-lab.sh up [NODES] [MANAGERS]   start it (default: 2 nodes, 1 manager)
#   scripts/swarm-lab.sh down                    take it down; leaves nothing, also of half an `up`
#   scripts/swarm-lab.sh image BINARY            an image ringherd:lab (and :latest) of BINARY on every node
#   scripts/swarm-lab.sh docker NODE ARGS…       the docker command line at one node
#   scripts/swarm-lab.sh socket NODE             path of a node's engine socket
#   scripts/swarm-lab.sh cut NODE                cut a node off the network …
#   scripts/swarm-lab.sh restore NODE            … and bring it back
#   scripts/swarm-lab.sh freeze NODE             stop a node's engine without killing it …
#   scripts/swarm-lab.sh thaw NODE               … and let it go on
#   scripts/swarm-lab.sh network NAME            an attachable overlay network
#   scripts/swarm-lab.sh files                   a folder that balancers of the lab see as /files
#   scripts/swarm-lab.sh balancer NODE NAME NETWORK ARGS…
#                                                a balancer in a container of ringherd:lab
#   scripts/swarm-lab.sh netns NODE CONTAINER    path of a container's network namespace
#   scripts/swarm-lab.sh in NODE CONTAINER COMMAND…
#                                                run a command of this machine (curl, for example)
#                                                in a container's network
#
# SWARM_LAB names the lab (default `lab`), so that several can run side by side.
#
# Each node is an engine in namespaces of its own: network (a veth to a bridge, which is in a
# namespace as well, so that this machine's network and its own engine are not touched), mounts
# (a private /run), and processes (killing the first one kills all, containers included). Names
# of registries resolve to nothing at once, so that no time is lost trying to pull images.
set -euo pipefail

lab=${SWARM_LAB:-lab}
[[ $lab =~ ^[a-z0-9]{1,16}$ ]] || { echo "SWARM_LAB must be 1 to 16 of a-z0-9, not '$lab'" >&2; exit 2; }
dir=${TMPDIR:-/tmp}/ringherd-swarm-$lab
hub=ringherd-$lab-hub
subnet=172.31.250

die() { echo "swarm-lab: $*" >&2; exit 1; }
ns() { echo "ringherd-$lab-$1"; }
cgroup() { echo "ringherd-lab-$lab-$1"; }
address() { echo "$subnet.$((10 + $1))"; }
socket() { echo "$dir/$1/docker.sock"; }
at() { local node=$1; shift; docker -H "unix://$(socket "$node")" "$@"; }
nodes() { find "$dir" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f\n' 2>/dev/null | sort -n; }
# The first process of a node's namespace of processes.
init() { cat "$dir/$1/init.pid"; }
# A command in the mounts, processes and network of a node.
inside() { local node=$1; shift; nsenter -t "$(init "$node")" -m -p -n -- "$@"; }

network_up() {
    ip netns add "$hub"
    ip -n "$hub" link set lo up
    ip -n "$hub" link add hub type bridge
    ip -n "$hub" link set hub up
}

# The cable of a node: `eth0` on its side, `node<N>` at the bridge.
cable_up() {
    local node=$1
    ip netns add "$(ns "$node")"
    ip -n "$hub" link add "node$node" type veth peer name eth0 netns "$(ns "$node")"
    ip -n "$hub" link set "node$node" master hub up
    ip -n "$(ns "$node")" link set lo up
    ip -n "$(ns "$node")" address add "$(address "$node")/24" dev eth0
    ip -n "$(ns "$node")" link set eth0 up
    # Nothing answers there, but without a default route some calls fail in odd ways.
    ip -n "$(ns "$node")" route add default via "$subnet.1"
}

engine_up() {
    local node=$1 driver
    mkdir -p "$dir/$node"
    driver=$(docker info --format '{{.Driver}}' 2>/dev/null || true)
    printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$dir/$node/resolv.conf"
    echo '{}' >"$dir/$node/daemon.json" # in place of this machine's own
    cat >"$dir/$node/init.sh" <<INIT
mount -t tmpfs tmpfs /run
mount --bind "$dir/$node/resolv.conf" /etc/resolv.conf || true
hostname node$node
dockerd --host unix:///run/docker.sock --host unix://$(socket "$node") \
    --data-root $dir/$node/data --exec-root $dir/$node/exec --pidfile $dir/$node/dockerd.pid \
    --cgroup-parent /$(cgroup "$node") ${driver:+--storage-driver $driver} --config-file $dir/$node/daemon.json &
# As the first process it also inherits orphans; bash waits for them all.
wait
INIT
    # Not 'ip netns exec', which would hide the cgroup mounts.
    setsid nsenter --net="/run/netns/$(ns "$node")" \
        unshare --mount --uts --pid --fork --mount-proc --kill-child \
        bash "$dir/$node/init.sh" </dev/null >"$dir/$node/log" 2>&1 &
    local engine=$! waited=0
    until at "$node" version >/dev/null 2>&1; do
        ((waited++ < 300)) && kill -0 "$engine" 2>/dev/null || { tail -n 20 "$dir/$node/log" >&2; die "node $node's engine does not come up"; }
        sleep 0.1
    done
    # The oldest process in there but 'nsenter' itself, which became 'unshare'.
    local first
    first=$(pgrep --oldest --parent "$(ip netns pids "$(ns "$node")" | head -n 1)")
    echo "$first" >"$dir/$node/init.pid"
}

up() {
    local count=${1:-2} managers=${2:-1} node role
    [[ $(id -u) = 0 ]] || die "must be root, for namespaces"
    for tool in dockerd docker ip nsenter unshare; do
        command -v "$tool" >/dev/null || die "needs '$tool'"
    done
    [[ ! -e $dir ]] || die "lab '$lab' is up already, or was not taken down: scripts/swarm-lab.sh down"
    mkdir -p "$dir/files"
    network_up
    for ((node = 1; node <= count; node++)); do cable_up "$node"; done
    local pids=()
    for ((node = 1; node <= count; node++)); do engine_up "$node" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid" || die "an engine did not come up"; done
    # A certificate authority is made; everything else here is quick.
    at 1 swarm init --advertise-addr "$(address 1)" >/dev/null
    for ((node = 2; node <= count; node++)); do
        role=worker; ((node > managers)) || role=manager
        at "$node" swarm join --advertise-addr "$(address "$node")" \
            --token "$(at 1 swarm join-token -q "$role")" "$(address 1):2377" >/dev/null
    done
}

down() {
    local node namespace pid
    for namespace in $(ip netns list | awk -v lab="ringherd-$lab-" 'index($1, lab) == 1 { print $1 }'); do
        # The engine and all it has started but containers; those end with the first process.
        for pid in $(ip netns pids "$namespace"); do kill -KILL "$pid" 2>/dev/null || true; done
        for ((waited = 0; waited < 100; waited++)); do
            [[ -n $(ip netns pids "$namespace") ]] || break
            sleep 0.1
        done
        ip netns delete "$namespace"
    done
    for node in $(nodes); do
        find /sys/fs/cgroup -depth -type d -path "*/$(cgroup "$node")*" -exec rmdir {} + 2>/dev/null || true
    done
    # Mounts in there belong to the namespaces that are gone; the kernel may need a moment.
    for ((waited = 0; waited < 50; waited++)); do
        rm -rf "$dir" 2>/dev/null && return
        sleep 0.1
    done
    die "could not remove $dir"
}

# From nothing but the binary and the libraries it is linked to; else as in the Dockerfile.
image() {
    local binary=$1 root node
    root=$(mktemp -d)
    # Debug information is of no use in there, and most of the size.
    strip -o "$root/ringherd" "$binary" 2>/dev/null || cp "$binary" "$root/ringherd"
    ldd "$binary" 2>/dev/null | grep -oE '/[^ ]+' | while read -r library; do
        mkdir -p "$root/$(dirname "$library")"
        cp -L "$library" "$root/$library"
    done
    tar -C "$root" -cf "$root.tar" .
    rm -rf "$root"
    for node in $(nodes); do
        at "$node" import --change 'ENTRYPOINT ["/ringherd"]' \
            --change 'LABEL org.opencontainers.image.title=ringherd' --change 'USER 65532:65532' \
            --change 'ENV RINGHERD_LISTEN=0.0.0.0:5000 RINGHERD_ADMIN_LISTEN=127.0.0.1:5001' \
            "$root.tar" ringherd:lab >/dev/null
        at "$node" tag ringherd:lab ringherd:latest
    done
    rm -f "$root.tar"
}

balancer() {
    local node=$1 name=$2 network=$3
    shift 3
    at "$node" run --detach --name "$name" --hostname "$name" --network "$network" --user 0:0 \
        --read-only --cap-drop ALL \
        --volume "$(socket "$node"):/var/run/docker.sock" --volume "$dir/files:/files:ro" ringherd:lab "$@"
}

netns() {
    echo "/proc/$(init "$1")/root/proc/$(at "$1" inspect --format '{{.State.Pid}}' "$2")/ns/net"
}

in_container() {
    local node=$1 pid
    pid=$(at "$node" inspect --format '{{.State.Pid}}' "$2")
    shift 2
    inside "$node" nsenter -t "$pid" -n -- "$@"
}

command=${1:-}
shift || true
case $command in
    up | down | image | balancer | netns) "$command" "$@" ;;
    docker) at "$@" ;;
    socket) socket "$1" ;;
    files) echo "$dir/files" ;;
    cut) ip -n "$hub" link set "node$1" down ;;
    restore) ip -n "$hub" link set "node$1" up ;;
    freeze) inside "$1" kill -STOP "$(cat "$dir/$1/dockerd.pid")" ;;
    thaw) inside "$1" kill -CONT "$(cat "$dir/$1/dockerd.pid")" ;;
    network) at 1 network create --driver overlay --attachable "$1" ;;
    in) in_container "$@" ;;
    *) sed -n '2,25s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
