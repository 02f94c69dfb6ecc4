#!/usr/bin/env python3
"""Thousands of replicas on this machine: how long until all are ready, and what they cost.

    scripts/many-replicas.py BINARY [--row TEXT] [--limit SECONDS] [--repeat N]

Replicas are addresses of 127.0.0.0/8 that one small server answers, in a process of its own. For
each row of ROWS a balancer is started with `--runtime fixed`, and printed are

- ready: from its start until all replicas are ready,
- ejected: healthy replicas that were ejected meanwhile; has to be 0,
- idle CPU: user and system time of the balancer over 10 s without requests, in percent of one core,
- API: the slowest of the requests to the admin API that were made all the while, ten a second,
- exit: from SIGTERM to the end of the process.

With --repeat, each figure is the median of so many runs; `ejected` is the sum and API the worst.
Python 3 and Linux are all it needs. It stops what it starts.
"""

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import keep_alive_origin

# Name, replicas, and what the balancer is told besides.
ROWS = [
    ("1,000, 524,287 slots", 1000, ["--slots", "524287"]),
    ("1,000, rendezvous, 65,539 slots", 1000, ["--placement", "rendezvous"]),
    ("1,000, rendezvous, 524,287 slots", 1000, ["--placement", "rendezvous", "--slots", "524287"]),
    ("4,000, 16 virtual nodes", 4000, ["--virtual-nodes", "16"]),
    ("4,000, 2,097,152 slots", 4000, ["--slots", "2097152"]),
]
IDLE_S = 10


def upstreams():
    """Starts the server; returns its process id and port."""
    listener = socket.create_server(("0.0.0.0", 0), backlog=4096)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            keep_alive_origin.serve(listener)
        finally:
            os._exit(1)
    port = listener.getsockname()[1]
    listener.close()
    return child, port


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Api(threading.Thread):
    """Asks the admin API ten times a second, and remembers the slowest response."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.base = f"http://127.0.0.1:{port}"
        self.worst = 0.0
        self.stopped = threading.Event()

    def get(self, path):
        with urllib.request.urlopen(self.base + path, timeout=60) as response:
            return response.read().decode()

    def run(self):
        answered = False
        while not self.stopped.wait(0.1):
            began = time.monotonic()
            try:
                self.get("/healthz")
                answered = True
            except OSError:
                if not answered:
                    continue  # It does not listen yet.
            if not self.stopped.is_set():
                self.worst = max(self.worst, time.monotonic() - began)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ready(metrics):
    found = re.search(r'^ringherd_replicas\{state="ready"[^}]*\} (\d+)', metrics, re.M)
    return int(found.group(1)) if found else 0


def ejections(log):
    with open(log) as lines:
        return sum('"ejected"' in line for line in lines)


def run(binary, replicas, options, port, limit, folder):
    """One balancer from start to end; returns the figures of its row, or why there are none."""
    hosts = [f"127.0.{index // 250 + 1}.{index % 250 + 1}:{port}" for index in range(replicas)]
    admin, log = free_port(), os.path.join(folder, "log")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGHERD_")}
    environment["RINGHERD_UPSTREAM"] = ",".join(hosts)
    command = [
        binary, "serve", "--runtime", "fixed", "--max-replicas", str(replicas), "--workers", "1",
        "--listen", f"127.0.0.1:{free_port()}", "--admin-listen", f"127.0.0.1:{admin}",
        "--log-format", "json", *options,
    ]
    with open(log, "w") as out:
        began = time.monotonic()
        balancer = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    api = Api(admin)
    api.start()
    try:
        took = None
        while took is None and time.monotonic() < began + limit:
            if balancer.poll() is not None:
                with open(log) as text:
                    return {"refused": text.read().strip()[:300]}
            try:
                if ready(api.get("/metrics")) == replicas:
                    took = time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.05)
        cpu = None
        if took is not None:
            time.sleep(2)
            before, since = cpu_seconds(balancer.pid), time.monotonic()
            time.sleep(IDLE_S)
            cpu = 100 * (cpu_seconds(balancer.pid) - before) / (time.monotonic() - since)
        api.stopped.set()
        worst = api.worst
        began = time.monotonic()
        balancer.send_signal(signal.SIGTERM)
        try:
            balancer.wait(limit)
            exit_ = time.monotonic() - began
        except subprocess.TimeoutExpired:
            exit_ = None
        return {"ready": took, "ejected": ejections(log), "cpu": cpu, "api": worst, "exit": exit_}
    finally:
        api.stopped.set()
        if balancer.poll() is None:
            balancer.kill()
            balancer.wait()


def median(runs, key):
    values = [figures[key] for figures in runs]
    return None if None in values else statistics.median(values)


def shown(value, unit, digits=1):
    return "never" if value is None else f"{value:.{digits}f} {unit}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("--row", default="", help="only the rows with this in their name")
    arguments.add_argument("--limit", type=float, default=60, help="seconds to wait for ready, and for the end")
    arguments.add_argument("--repeat", type=int, default=1)
    given = arguments.parse_args()
    server, port = upstreams()
    try:
        print(f"{'replicas':<34} {'ready':>10} {'ejected':>8} {'idle CPU':>9} {'API':>9} {'exit':>9}")
        for name, replicas, options in ROWS:
            if given.row not in name:
                continue
            with tempfile.TemporaryDirectory() as folder:
                runs = [run(given.binary, replicas, options, port, given.limit, folder) for _ in range(given.repeat)]
            refused = next((figures["refused"] for figures in runs if "refused" in figures), None)
            if refused:
                print(f"{name:<34} refused: {refused}")
                continue
            print(
                f"{name:<34} {shown(median(runs, 'ready'), 's'):>10} {sum(f['ejected'] for f in runs):>8}"
                f" {shown(median(runs, 'cpu'), '%'):>9} {shown(1e3 * max(f['api'] for f in runs), 'ms', 0):>9}"
                f" {shown(median(runs, 'exit'), 's'):>9}",
                flush=True,
            )
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


if __name__ == "__main__":
    sys.exit(main())
