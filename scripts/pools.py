#!/usr/bin/env python3
"""Many pools behind one balancer: what they cost without requests, and that a change of one is about one.

    scripts/pools.py BINARY [--pools N] [--replicas N] [--seconds S]

Starts a balancer with 50 pools of 3 built-in replicas, each as a process. Printed are

- how long it takes from the start until all are ready,
- CPU time over 20 s without requests, in percent of one core: of the balancer, and of all replicas together,
- memory of the balancer, and of all replicas: PSS, in which what several share counts once,
- what one replica more in one pool (`POST /pools/NAME/add`) leads to: rings that are built, snapshots that are
  published, and the pools whose version changed.

The exit code is 1 if that is not one ring, one snapshot and that pool. Linux and Python 3 are all it needs. It stops
what it starts.
"""

import argparse
import pathlib
import re
import sys
import tempfile
import time

from bench_peers import processes
from running import Balancer, stop_in_order


class Pools(Balancer):
    """A balancer of many pools."""

    def are_ready(self, replicas):
        return all(pool["ready"] >= replicas for pool in self.ask("GET", "/pools")["pools"])

    def versions(self):
        return {pool["name"]: pool["version"] for pool in self.ask("GET", "/pools")["pools"]}

    def metric(self, name):
        """The sum of it in all pools."""
        values = re.findall(rf"^{name}(?:{{.*?}})? (\S+)$", self.text("/metrics"), re.M)
        assert values, name
        return sum(map(float, values))

    def family(self):
        """The balancer, and all processes of its replicas."""
        first, *others = processes.family(self.process.pid)
        return [first], others


def cpu(members):
    return sum(processes.cpu_of(pid) for pid in members)


def pss(members):
    """MiB."""
    total = 0
    for pid in members:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss: +(\d+) kB", text, re.M).group(1))
    return total / 1024


def configuration(pools, replicas):
    names = [f"pool-{number}" for number in range(1, pools + 1)]
    tables = [
        f"[pool.{name}.replicas]\ncount = {replicas}\nmax = {replicas + 1}\n\n"
        f'[[route]]\npath = "/{name}"\npool = "{name}"\nstrip-prefix = true\n'
        for name in names
    ]
    return names, "\n".join(tables)


def run(given, folder):
    names, text = configuration(given.pools, given.replicas)
    config = folder / "ringherd.toml"
    config.write_text(text)
    began = time.monotonic()
    balancer = Pools(given.binary, str(config))
    try:
        balancer.until("all replicas are ready", lambda: balancer.are_ready(given.replicas))
        print(f"{given.pools} pools of {given.replicas} replicas: ready after {time.monotonic() - began:.1f} s")
        # What comes with the start is over.
        time.sleep(3)
        one, others = balancer.family()
        before, since = (cpu(one), cpu(others)), time.monotonic()
        time.sleep(given.seconds)
        seconds = time.monotonic() - since
        used = [100 * (now - then) / seconds for now, then in zip((cpu(one), cpu(others)), before)]
        print(f"idle CPU:  {used[0]:.1f} % of a core, all {len(names) * given.replicas} replicas {used[1]:.1f} %")
        print(f"memory:    {pss(one):.0f} MiB, all replicas {pss(others):.0f} MiB")
        chosen = names[len(names) // 2]
        figures = ["ringherd_ring_build_seconds_count", "ringherd_ring_publications_total"]
        before = balancer.versions(), [balancer.metric(name) for name in figures]
        began = time.monotonic()
        balancer.ask("POST", f"/pools/{chosen}/add", {"n": 1})
        took = time.monotonic() - began
        after = balancer.versions(), [balancer.metric(name) for name in figures]
        changed = [name for name in names if after[0][name] != before[0][name]]
        built, published = (int(now - then) for now, then in zip(after[1], before[1]))
        print(f"one more:  {1e3 * took:.0f} ms, rings built: {built}, snapshots published: {published}, "
              f"pools with another version: {', '.join(changed)}")
        return (built, published, changed) == (1, 1, [chosen])
    finally:
        balancer.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--pools", type=int, default=50)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    stop_in_order()
    with tempfile.TemporaryDirectory(prefix="pools-") as folder:
        return 0 if run(given, pathlib.Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
