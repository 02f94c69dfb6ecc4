#!/usr/bin/env python3
"""Deploys under load: good ones in a row, and then bad revisions, which have to be taken back.

    scripts/deploys.py BINARY [--deploys N] [--bad N] [--busy] [--order stop-first] [--containers]

Three replicas serve 400 GETs and 50 POSTs a second. Each GET has one of 400 keys. Each POST has an id that the replica
that runs it writes to a file. First v1 and v2 are deployed by turns, N times (100). Printed are

- GETs that failed, of all; and POSTs that failed or were not run, and those that were run twice,
- whether the ring had the same digest all the while: SHA-256 of its parameters, of numbers, weights and slots of the
  replicas, and of who owns each of its 720 sectors,
- keys that were seen at two numbers,
- how long a deploy took: median and longest.

Then each of these revisions is deployed N times (5): one that does not start, one that responds with 500 to all
but heartbeats, one that takes 50 ms for a response where the others take 5, one that never responds, and one that
crashes after 3 s. Printed are how often it was taken back, the requests that failed each time (median and most), how
many were sent during the deploy, and the time until every number had a replica of the old revision again, from the
request for the deploy on.

With --order stop-first the old replica of a number has ended before the new one starts. Each replica of a process holds
the lock of its number, and does not start without it. Printed is also how often two of a number were there at once. Keys
are at other numbers while their own has nobody: what is printed is whether each came back.

With --busy times of responses are not compared, and the two revisions that only times tell are left out: on a machine
that has other things to do, the old revision may be as slow for moments as the new one.

With --containers replicas are containers of an image of BINARY, made here and removed again; they are the built-in
ones, which do not count POSTs, and there are 10 deploys and no bad revisions.

The exit code is 1 if a GET failed in the first part, a POST was lost or run twice, the digest changed, two replicas of a
number were there at once with stop-first, or a bad revision was not taken back. Linux and Python 3 are all it needs. It stops what it starts.
"""

import argparse
import collections
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from running import Balancer, stop_in_order

GETS_PER_S, POSTS_PER_S, KEYS = 400, 50, 400
# Threads that send them: enough for responses that take long.
READERS, WRITERS = 16, 4
TOLD_BY_TIMES = {"slow", "hanging"}
BAD = {
    "does not start": "absent",
    "responds with 500": "failing",
    "10 times slower": "slow",
    "never responds": "hanging",
    "crashes after 3 s": "crashing",
}
SETTINGS = """
[replicas]
count = 3
drain-timeout = "2s"

[routing]
bounded-load = "off"

[health]
interval = "50ms"

[deploy]
order = "{order}"
revision = "v1"
min-healthy = "{min_healthy}"
window = "{window}"
{more}

[revision.v1]
env = ["REVISION=v1"]

[revision.v2]
env = ["REVISION=v2"]
"""
BAD_REVISIONS = """
[revision.absent]
env = ["REVISION=absent"]

[revision.failing]
env = ["REVISION=failing"]

[revision.slow]
env = ["REVISION=slow"]

[revision.hanging]
env = ["REVISION=hanging"]

[revision.crashing]
env = ["REVISION=crashing"]
"""


# What a replica writes down that finds its lock taken.
CONTENDED = "contended"


def settings_of(min_healthy, window, given):
    more = "max-slowdown = 0" if given.busy else ""
    return SETTINGS.format(order=given.order, min_healthy=min_healthy, window=window, more=more)


class Load:
    """Clients that send requests at times that are laid down before, over connections that stay open."""

    def __init__(self, address):
        self.address = address
        self.run = f"{os.getpid()}-{time.monotonic_ns()}"
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.gets = 0
        self.failed = []
        self.posts = {}
        self.served = collections.defaultdict(set)
        self.last = {}
        reading, writing = itertools.count(), itertools.count()
        began = time.monotonic()
        self.threads = [
            threading.Thread(target=self.work, args=[began, turns, rate, send], daemon=True)
            for turns, rate, send, count in [
                (reading, GETS_PER_S, self.get, READERS), (writing, POSTS_PER_S, self.post, WRITERS)]
            for _ in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def work(self, began, turns, rate, send):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        for turn in turns:
            if self.stopped.wait(max(0, began + turn / rate - time.monotonic())):
                break
            send(connection, turn)
        connection.close()

    def ask(self, connection, *request):
        """The body of a good response; otherwise what came, as an error."""
        try:
            if connection.sock is None:
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.request(*request)
            response = connection.getresponse()
            body = response.read().decode()
            if response.status == 200:
                return body, None
            return None, f"{response.status} {response.headers.get('x-ringherd-error') or body}"
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return None, repr(error)

    def get(self, connection, turn):
        key = turn % KEYS
        body, error = self.ask(connection, "GET", "/home", None, {"X-Request-Id": f"key-{key}"})
        with self.lock:
            self.gets += 1
            if error:
                self.failed.append(error)
            else:
                self.served[key].add(body)
                self.last[key] = body

    def post(self, connection, turn):
        post = f"{self.run}-{turn}"
        _, error = self.ask(connection, "POST", "/home", post, {})
        with self.lock:
            self.posts[post] = error

    def failures(self):
        with self.lock:
            return self.failed + [error for error in self.posts.values() if error]

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class Herd(Balancer):
    """A balancer of three replicas, and its deploys."""

    def __init__(self, binary, folder, settings, options):
        config = folder / "ringherd.toml"
        config.write_text(settings)
        super().__init__(binary, str(config), options)
        # Who had which number, by name.
        self.numbers = {}
        try:
            self.until("all replicas are ready", self.are_ready)
        except BaseException:
            self.stop()
            raise

    def replicas(self):
        return self.ask("GET", "/ring")["replicas"]

    def are_ready(self):
        return [replica["state"] for replica in self.replicas()] == ["ready"] * 3

    def digest(self):
        """All that is known of the ring, except who serves its numbers at the moment."""
        ring = self.ask("GET", "/ring")
        self.numbers |= {replica["name"]: replica["number"] for replica in ring["replicas"]}
        parameters = [ring[name] for name in ["family", "probing", "placement", "slots", "virtual_nodes", "key"]]
        places = [[replica[name] for name in ["number", "weight", "slots"]] for replica in ring["replicas"]]
        known = [parameters, places, self.ask("GET", "/ring/sectors")["sectors"]]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def deploy(self, revision, digests):
        """Deploys a revision; returns how that ended. Each digest that the ring has meanwhile is noted."""
        self.ask("POST", "/deploy", {"revision": revision})

        def ended():
            digests.add(self.digest())
            deploy = self.ask("GET", "/deploy")
            return deploy if deploy["ended"] else None
        deploy = self.until("the deploy ends", ended)
        digests.add(self.digest())
        return deploy


class Processes:
    """Replicas are processes that write down the POSTs that they run."""

    def __init__(self, folder, given):
        self.binary, self.folder, self.given = given.binary, folder, given
        self.tally = folder / "tally"
        self.tally.touch()

    def balancer(self, min_healthy, window):
        program = pathlib.Path(__file__).resolve().with_name("deployed_replica.py")
        command = shlex.join([sys.executable, "-I", "-S", str(program)])
        options = ["--replica-command", command, "--replica-env", f"TALLY={self.tally}"]
        if self.given.order == "stop-first":
            options += ["--replica-env", f"LOCK={self.folder / 'lock'}"]
        settings = settings_of(min_healthy, window, self.given) + BAD_REVISIONS
        return Herd(self.binary, self.folder, settings, options)

    def runs(self):
        """How often each POST was run."""
        return collections.Counter(self.tally.read_text().split())

    def number(self, balancer, body):
        return body.split()[1]

    def close(self):
        pass


class Containers:
    """Replicas are containers of an image of the binary."""

    def __init__(self, folder, given):
        self.binary, self.folder, self.given = given.binary, folder, given
        self.image = f"ringherd-deploys:{os.getpid()}"
        self.pool = f"deploys-{os.getpid()}"
        root = folder / "image"
        root.mkdir()
        shutil.copy(self.binary, root / "ringherd")
        listed = subprocess.run(["ldd", self.binary], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+)", listed):
            target = root / library[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
        tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "import", "--change", 'ENTRYPOINT ["/ringherd"]',
             # Its containers are replicas.
             "--change", "LABEL org.opencontainers.image.title=ringherd", "-", self.image],
            stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)
        tar.wait()

    def balancer(self, min_healthy, window):
        settings = settings_of(min_healthy, window, self.given)
        options = ["--runtime", "docker", "--image", self.image, "--pool", self.pool]
        return Herd(self.binary, self.folder, settings, options)

    def runs(self):
        return None

    def number(self, balancer, body):
        name = re.search(r"routed to (.*?)\"", body).group(1)
        return balancer.numbers.get(name, name)

    def close(self):
        label = f"label=io.ringherd.pool={self.pool}"
        left = subprocess.run(["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True)
        if left.stdout.split():
            subprocess.run(["docker", "rm", "-f", *left.stdout.split()], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["docker", "image", "rm", self.image], stdout=subprocess.DEVNULL, check=True)


def wrong_posts(load, runs):
    """POSTs with a good response that were not run, and those that were run twice."""
    if runs is None:
        return 0, 0
    lost = sum(error is None and not runs[post] for post, error in load.posts.items())
    return lost, sum(runs[post] > 1 for post in load.posts)


def good(kind, count):
    """Deploys v2 and v1 by turns; returns whether all is as it should be."""
    balancer = kind.balancer("100ms", "200ms")
    try:
        digests = {balancer.digest()}
        load = Load(balancer.public)
        time.sleep(2 * KEYS / GETS_PER_S)
        with load.lock:
            last = dict(load.last)
        homes = {key: kind.number(balancer, body) for key, body in last.items()}
        took, others = [], []
        for turn in range(count):
            deploy = balancer.deploy("v1" if turn % 2 else "v2", digests)
            (took if deploy["state"] == "succeeded" else others).append(deploy)
        time.sleep(2 * KEYS / GETS_PER_S)
        load.stop()
        numbers = [{kind.number(balancer, body) for body in bodies} for bodies in load.served.values()]
        strays = sum(kind.number(balancer, load.last[key]) != home for key, home in homes.items())
        lost, twice = wrong_posts(load, kind.runs())
        lost += sum(error is not None for error in load.posts.values())
    finally:
        balancer.stop()
    moved = strays if kind.given.order == "stop-first" else sum(len(seen) > 1 for seen in numbers)
    print(f"{len(took)} of {count} deploys of three replicas have succeeded")
    print(f"GETs failed:                {len(load.failed)} of {load.gets:,}")
    print(f"POSTs lost, run twice:      {lost}, {'not counted' if kind.runs() is None else twice} of {len(load.posts):,}")
    print(f"digest of the ring:         {'the same' if len(digests) == 1 else 'changed'}, {min(digests)[:16]}")
    print(f"keys moved:                 {moved} of {len(numbers)}")
    runs = kind.runs()
    contended = runs[CONTENDED] if runs else 0
    if kind.given.order == "stop-first" and runs is not None:
        print(f"two of a number at once:    {contended}")
    seconds = [deploy["took_seconds"] for deploy in took] or [float("nan")]
    print(f"time of a deploy:           {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s", flush=True)
    for what, count in collections.Counter(load.failures()).most_common(5):
        print(f"  failed: {count} times {what}")
    for deploy in others:
        print(f"  {deploy['state']}: {deploy['reason']}")
    return not (load.failed or lost or twice or others or contended) and len(digests) == 1


def bad(kind, count):
    """Deploys each bad revision; returns whether all were taken back."""
    balancer = kind.balancer("500ms", "2s")
    fine = True
    print(f"\n{'revision':<20} {'taken back':>10} {'failed':>8} {'most':>5} {'of about':>8} {'time':>7} {'longest':>8}")
    digests = {balancer.digest()}
    try:
        for what, revision in BAD.items():
            if kind.given.busy and revision in TOLD_BY_TIMES:
                continue
            back, failed, sent, took, reasons = 0, [], [], [], []
            for _ in range(count):
                load = Load(balancer.public)
                time.sleep(1)
                before = load.gets + len(load.posts)
                deploy = balancer.deploy(revision, digests)
                sent.append(load.gets + len(load.posts) - before)
                time.sleep(0.5)
                load.stop()
                replicas = {replica["revision"] for replica in balancer.replicas()}
                back += deploy["state"] == "reverted" and replicas == {"v1"}
                failed.append(len(load.failures()))
                took.append(deploy["took_seconds"])
                reasons.append(deploy["reason"] or f"old {deploy['old']}, new {deploy['new']}")
                if deploy["state"] == "succeeded":
                    balancer.deploy("v1", digests)
                wrong = wrong_posts(load, kind.runs())
                if wrong != (0, 0):
                    print(f"  POSTs lost, run twice: {wrong}")
                    fine = False
            fine = fine and back == count
            print(f"{what:<20} {f'{back} of {count}':>10} {statistics.median(failed):>8.0f} {max(failed):>5} "
                  f"{statistics.median(sent):>8.0f} {statistics.median(took):>5.1f} s {max(took):>6.1f} s")
            print(f"  {reasons[-1]}", flush=True)
    finally:
        balancer.stop()
    if len(digests) > 1:
        print("the digest of the ring has changed")
        fine = False
    if kind.runs()[CONTENDED]:
        print(f"two of a number were there at once: {kind.runs()[CONTENDED]} times")
        fine = False
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--deploys", type=int)
    parser.add_argument("--bad", type=int, default=5)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--order", choices=["start-first", "stop-first"], default="start-first")
    parser.add_argument("--containers", action="store_true")
    given = parser.parse_args()
    stop_in_order()
    with tempfile.TemporaryDirectory(prefix="deploys-") as folder:
        kind = (Containers if given.containers else Processes)(pathlib.Path(folder), given)
        try:
            fine = good(kind, given.deploys or (10 if given.containers else 100))
            if not given.containers and given.bad:
                fine = bad(kind, given.bad) and fine
        finally:
            kind.close()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
