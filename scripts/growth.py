#!/usr/bin/env python3
"""What a request costs by the number of replicas and of client connections, and what a ring of many costs.

    scripts/growth.py BINARY [--seconds S] [--rounds N]

First table: CPU time of the balancer per request, with one worker, at a fixed rate of requests that are spread
over all connections: what a long turn takes more than a short one, so that opening them does not count. The time
that the balancer takes without requests, for heartbeats, is measured before and subtracted. Connections that the limit on open files does not allow are left out: each may need a second one, to
a replica. Second table: memory with that many replicas, and how long a change of the ring takes, from the request
to the admin API to its response, which comes when the new ring is in force. Needs Linux, Python 3.11 and cc.
"""

import argparse
import json
import os
import re
import resource
import statistics
import tempfile
import time
import urllib.request

from bench_peers import load, processes
from bench_peers.rounds import Cores

REPLICAS, CONNECTIONS, RATE = [3, 100, 1000], [1, 64, 1000, 10_000], 4000
RINGS = [(3, 65_539), (100, 65_539), (256, 65_539), (1000, 524_287), (1000, 2_097_152), (4096, 2_097_152),
         (4096, 16_777_216)]


class Balancer:
    def __init__(self, binary, ports, slots, cores, folder):
        self.public, self.admin = processes.free_port(), processes.free_port()
        self.log = open(f"{folder}/log", "w")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGHERD_")}
        environment["RINGHERD_UPSTREAM"] = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.process = processes.start(
            [binary, "serve", "--runtime", "fixed", "--max-replicas", "4096", "--workers", "1", "--slots", str(slots),
             "--listen", f"127.0.0.1:{self.public}", "--admin-listen", f"127.0.0.1:{self.admin}", "--keep-alive", "1h"],
            cores, stdout=self.log, stderr=self.log, env=environment)
        self.ports = {"plain": self.public}
        self.wait(len(ports))

    def ask(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}{path}", data=body and json.dumps(body).encode(),
            headers={"Content-Type": "application/json"}, method="PUT" if body else "GET")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def metric(self, name):
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)", self.ask("/metrics"), re.M))

    def wait(self, count):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                found = re.search(r'^ringherd_replicas\{state="ready"[^}]*\} (\d+)', self.ask("/metrics"), re.M)
                if found and int(found.group(1)) == count:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("the balancer does not become ready")

    def cpu(self):
        return processes.cpu(self.process.pid)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        processes.stop(self.process)
        self.log.close()


def turn(tools, side, connections, seconds, idle):
    """Seconds on a processor beyond those without requests, and requests."""
    before, began = side.cpu(), time.monotonic()
    done = load.helper_load("small", connections)(tools, side, seconds, RATE)
    # The balancer sees the ends of the connections.
    time.sleep(0.5)
    return side.cpu() - before - idle * (time.monotonic() - began), done["requests"]


def costs(given, helper, cores, folder):
    print(f"| Replicas | {' | '.join(f'{count:,}' for count in CONNECTIONS)} | without requests |")
    print("|---|" + "---|" * (len(CONNECTIONS) + 1))
    for replicas in REPLICAS:
        slots = 65_539 if replicas <= 256 else 524_287
        with load.origins(helper, replicas, cores.load) as ports, \
                Balancer(given.binary, ports, slots, cores.one, folder) as side:
            tools = load.Tools(helper, cores.load, folder, b"")
            time.sleep(1)
            before, began = side.cpu(), time.monotonic()
            time.sleep(given.seconds)
            idle = (side.cpu() - before) / (time.monotonic() - began)
            room = side.metric("ringherd_connections_max")
            cells = []
            for connections in CONNECTIONS:
                fit = int(min(connections, room))
                found = []
                for _ in range(given.rounds):
                    try:
                        # Opening and closing connections is in both.
                        short, long = (turn(tools, side, fit, factor * given.seconds, idle) for factor in [1, 3])
                    except load.Failed as error:
                        found = None
                        cells.append(f"failed: {error}")
                        break
                    found.append(1e6 * (long[0] - short[0]) / (long[1] - short[1]))
                if found:
                    cells.append(f"{statistics.median(found):.1f} µs" + (f" ({fit:,})" if fit < connections else ""))
            print(f"| {replicas:,} | {' | '.join(cells)} | {100 * idle:.1f} % |", flush=True)


def rings(given, helper, cores, folder):
    print("\n| Replicas | Slots | memory | change of the ring |\n|---|---|---|---|")
    for replicas, slots in RINGS:
        with load.origins(helper, replicas, cores.load) as ports, \
                Balancer(given.binary, ports, slots, cores.one, folder) as side:
            memory = processes.resident(side.process.pid) / 1024
            took = []
            for virtual_nodes in [255, 256] * given.rounds:
                began = time.monotonic()
                side.ask("/ring", {"virtual_nodes": virtual_nodes})
                took.append(1e3 * (time.monotonic() - began))
            print(f"| {replicas:,} | {slots:,} | {memory:.0f} MiB | {statistics.median(took):.1f} ms |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cores = Cores(sorted(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        helper = load.build_helper(folder)
        costs(given, helper, cores, folder)
        rings(given, helper, cores, folder)


if __name__ == "__main__":
    main()
