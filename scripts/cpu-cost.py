#!/usr/bin/env python3
"""CPU time per request of two builds, or of one build with and without somebody watching.

    scripts/cpu-cost.py OLD NEW      OLD against NEW, and NEW with a watcher against NEW without
    scripts/cpu-cost.py BINARY       the second of these only

A watcher reads /events and scrapes /metrics once a second, as the dashboard and Prometheus do.
All balancers run side by side, one worker and one replica each, and take turns under load; what is
compared are turns that follow each other, so that the noise of the machine meets both alike. Only
the balancer's own threads count. Needs wrk. Ends by itself after some two minutes.
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
        """Time on a processor of all its threads."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{self.process.pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
        return total / 1e9

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
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    balancers = [Balancer(binary) for binary in sys.argv[1:]]
    try:
        for balancer in balancers:
            balancer.turn()
        if len(balancers) == 2:
            compare("new build / old build", balancers[0].turn, balancers[1].turn)
        newest = balancers[-1]

        def watched():
            watcher = Watcher(newest)
            cost = newest.turn()
            watcher.close()
            return cost

        compare("watched / not watched", newest.turn, watched)
    finally:
        for balancer in balancers:
            balancer.stop()


if __name__ == "__main__":
    main()
