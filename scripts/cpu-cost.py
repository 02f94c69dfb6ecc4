#!/usr/bin/env python3
"""CPU time per request with and without somebody watching.

    scripts/cpu-cost.py BINARY

A watcher reads /events and scrapes /metrics once a second, as the dashboard and Prometheus do. The balancer has
one worker and one replica, and turns under load with and without a watcher follow each other, so that the noise of
the machine meets both alike. Needs wrk. Ends by itself after about a minute. Two builds are compared by
scripts/bench-peers.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import urllib.request

from bench_peers import processes

ROUNDS = int(os.environ.get("ROUNDS", "20"))
SECONDS = 1


class Balancer:
    """A running balancer on free ports."""

    def __init__(self, binary):
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--replicas", "1",
             "--workers", "1", "--log-format", "json"],
            stderr=subprocess.PIPE, text=True)
        addresses = {}
        for line in self.process.stderr:
            event = json.loads(line)
            addresses[event["message"]] = event.get("address")
            if event["message"] == "listening":
                break
        self.public, self.admin = addresses["listening"], addresses["admin API is up"]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def cpu_seconds(self):
        """Time on a processor of all its threads. Its replica is a process of its own, which does not count."""
        return processes.cpu_of(self.process.pid)

    def turn(self):
        """CPU microseconds per request under load for a while."""
        before = self.cpu_seconds()
        report = subprocess.run(
            ["wrk", "-t1", "-c16", f"-d{SECONDS}s", f"http://{self.public}/home"],
            capture_output=True, text=True, check=True).stdout
        used = self.cpu_seconds() - before
        assert "Non-2xx" not in report, report
        return used / int(re.search(r"(\d+) requests in", report).group(1)) * 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Watcher:
    """Reads events and scrapes metrics until it is closed."""

    def __init__(self, balancer):
        self.closed = threading.Event()
        self.events = urllib.request.urlopen(f"http://{balancer.admin}/events")
        threading.Thread(target=self.read, daemon=True).start()
        self.scraper = threading.Thread(target=self.scrape, args=(balancer,), daemon=True)
        self.scraper.start()

    def read(self):
        with contextlib.suppress(Exception):
            while self.events.readline():
                pass

    def scrape(self, balancer):
        while not self.closed.wait(1):
            urllib.request.urlopen(f"http://{balancer.admin}/metrics").read()

    def close(self):
        self.closed.set()
        self.scraper.join()
        self.events.close()


def compare(name, first, second):
    """Prints the median of the ratios of turns, second to first."""
    ratios, costs = [], ([], [])
    for number in range(ROUNDS):
        # Whoever goes first changes, so that a drift of the machine cancels out.
        order = [(0, first), (1, second)]
        cost = {side: turn() for side, turn in (order if number % 2 else order[::-1])}
        ratios.append(cost[1] / cost[0])
        costs[0].append(cost[0])
        costs[1].append(cost[1])
    low, _, high = statistics.quantiles(ratios, n=4)
    print(f"{name}: {statistics.median(costs[0]):.1f} -> {statistics.median(costs[1]):.1f} us a request, "
          f"ratio {statistics.median(ratios):.3f} (quartiles {low:.3f} to {high:.3f}, {ROUNDS} rounds)", flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    balancer = Balancer(sys.argv[1])
    try:
        balancer.turn()

        def watched():
            watcher = Watcher(balancer)
            cost = balancer.turn()
            watcher.close()
            return cost

        compare("watched / not watched", balancer.turn, watched)
    finally:
        balancer.stop()


if __name__ == "__main__":
    main()
