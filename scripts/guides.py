#!/usr/bin/env python3
"""Tries the guide to applications as it is written.

    scripts/guides.py BINARY [NAME …]

Of each section of docs/guides/applications.md that has a ringherd.toml, or of those whose titles contain a NAME: writes
the files to a folder, runs what it says to run, starts the balancer there, asks for / until all replicas have answered,
deploys v2 meanwhile, and stops. Prints a line for each, and exits with 1 if one fails. It installs nothing: it says what is
missing. Needs Linux and Python 3.11.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request

PAGE = pathlib.Path(__file__).parent.parent / "docs/guides/applications.md"
# What a command needs, and the packages of Debian that have it.
PACKAGES = {"gunicorn": "gunicorn python3-flask", "uvicorn": "uvicorn python3-fastapi", "node": "nodejs",
            "puma": "puma ruby-rack", "go": "golang-go", "nginx": "nginx-light", "python3": "python3"}
MODULES = {"Flask": "flask", "FastAPI": "fastapi"}
# A balancer that is tried has other addresses than its guide says, and is not patient.
# And whether a version is slower cannot be told on a machine that does something else beside.
SETTINGS = {"DEPLOY_MIN_HEALTHY": "500ms", "DEPLOY_WINDOW": "1s", "DEPLOY_MAX_SLOWDOWN": "0", "LOG_FORMAT": "json",
            "MAX_CONNECTIONS": "100"}
# Debian keeps servers apart.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

Guide = collections.namedtuple("Guide", "title files commands")


class Failure(Exception):
    pass


def guides():
    """The sections. A block is a file if the line before it is nothing but its name; a block of sh without one is run."""
    for section in PAGE.read_text().split("\n## ")[1:]:
        title, text = section.split("\n", 1)
        files, commands = {}, []
        for name, kind, block in re.findall(r"(?:^`([^`\n]+)`:\n\n)?^```(\w*)\n(.*?)^```$", text, re.M | re.S):
            if name:
                files[name] = block
            elif kind == "sh":
                commands.append(block)
        if "ringherd.toml" in files:
            yield Guide(title, files, commands)


def missing(guide):
    """The packages that a guide lacks."""
    words = " ".join([guide.files["ringherd.toml"], *guide.files.values(), *guide.commands])
    used = [program for program in PACKAGES if re.search(rf'(^|[" ]){program} ', words, re.M)]
    lacking = {PACKAGES[program] for program in used if not shutil.which(program)}
    for name, module in MODULES.items():
        program = next((program for program in used if module in PACKAGES[program]), None)
        if program and shutil.which(program) and name in guide.title:
            # The interpreter that the program runs on, which need not be the first of the path.
            first = pathlib.Path(shutil.which(program)).read_bytes().split(b"\n")[0].decode(errors="replace")
            python = first.removeprefix("#!").split() if first.startswith("#!") else ["python3"]
            if subprocess.run([*python, "-c", f"import {module}"], capture_output=True).returncode:
                lacking.add(PACKAGES[program])
    return sorted(lacking)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Balancer:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.public, self.admin = free_port(), free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGHERD_")}
        settings = {"LISTEN": f"127.0.0.1:{self.public}", "ADMIN_LISTEN": f"127.0.0.1:{self.admin}", **SETTINGS}
        self.environment = kept | {f"RINGHERD_{name}": value for name, value in settings.items()}
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            [binary, "--config", "ringherd.toml"], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def replicas(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/ring", timeout=10) as answer:
            return json.load(answer)["replicas"]

    def ask(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.public}/", timeout=10) as answer:
            return answer.read().decode()

    def ask_all(self, revision, count, limit=60):
        """Asks until each of `count` replicas has answered. Returns the answers, without repetitions."""
        answers, deadline, last = set(), time.monotonic() + limit, "it does not answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"the balancer has ended with {self.process.returncode}")
            try:
                replicas = self.replicas()
                ready = [replica for replica in replicas if replica["state"] == "ready"]
                last = "; ".join(f"{replica['name']}: {replica['state']} {replica.get('note', '')}" for replica in replicas)
                if len(ready) == count and all(replica["revision"] == revision for replica in ready):
                    for _ in range(5 * count):
                        answers.add(self.ask())
                    if all(replica["requests"] for replica in self.replicas()):
                        return answers
            except OSError:
                pass
            time.sleep(0.1)
        raise Failure(f"not all replicas have answered in {limit} s: {last}")

    def deploy(self, revision):
        """Deploys while requests come; none may fail."""
        failed, done, answers = [], threading.Event(), 0

        def ask():
            nonlocal answers
            while not done.is_set():
                try:
                    self.ask()
                    answers += 1
                except OSError as error:
                    failed.append(error)
                time.sleep(0.01)
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            command = [self.binary, "deploy", revision, "--url", f"http://127.0.0.1:{self.admin}"]
            deploy = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        finally:
            done.set()
            asking.join()
        if deploy.returncode:
            raise Failure(f"the deploy has ended with {deploy.returncode}: {deploy.stderr.strip()}")
        if failed:
            raise Failure(f"{len(failed)} requests failed during the deploy, first: {failed[0]}")
        return answers

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Failure("the balancer does not end") from None
        if code:
            raise Failure(f"the balancer has ended with {code}")
        return time.monotonic() - began

    def lines(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace").splitlines()


# Said where programs take their time to start, or the balancer was held up: that depends on the machine.
EXPECTED = {"not all replicas are ready yet; serving with those that are", "a heartbeat says nothing of its replica"}


def warnings(lines):
    """What the balancer warned of and should not have."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            event = {"level": "WARN", "message": line}
        if event.get("level") in ("WARN", "ERROR") and event.get("message") not in EXPECTED:
            yield line


def leftovers(folder):
    """Processes that still run in a folder."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if folder in pathlib.Path(os.readlink(entry / "cwd")).parents:
                    yield int(entry.name)
            except OSError:
                pass


def attempt(guide, binary):
    """Tries a guide; returns what happened, in words."""
    with tempfile.TemporaryDirectory(prefix="ringherd-guide-") as folder:
        folder = pathlib.Path(folder)
        for name, text in guide.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for command in guide.commands:
            built = subprocess.run(["sh", "-e", "-c", command], cwd=folder, capture_output=True, text=True)
            if built.returncode:
                raise Failure(f"{command.strip()}: {built.stderr.strip()}")
        count = tomllib.loads(guide.files["ringherd.toml"])["replicas"]["count"]
        began = time.monotonic()
        with Balancer(binary, folder) as balancer:
            try:
                before = balancer.ask_all("base", count)
                ready = time.monotonic() - began
                requests = balancer.deploy("v2")
                after = balancer.ask_all("v2", count)
                if before & after:
                    raise Failure(f"v2 answers as base does: {after}")
                took = balancer.stop()
                for warning in warnings(balancer.lines()):
                    raise Failure(f"the log has a warning: {warning}")
                if left := list(leftovers(folder)):
                    raise Failure(f"processes are left behind: {left}")
            except Failure as failure:
                raise Failure("\n".join([str(failure), *balancer.lines()[-20:]])) from None
        return (f"{count} replicas answer after {ready:.1f} s, {requests} requests during the deploy, 0 failed; "
                f"stopped in {took:.1f} s")


def main():
    parser = argparse.ArgumentParser(description="Tries the guide to applications as it is written.")
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the title of a section")
    given = parser.parse_args()
    chosen = [guide for guide in guides()
              if not given.names or any(name.lower() in guide.title.lower() for name in given.names)]
    if not chosen:
        parser.error(f"{PAGE.name} has no such section")
    good = True
    for guide in chosen:
        try:
            if lacking := missing(guide):
                raise Failure(f"apt-get install --no-install-recommends {' '.join(lacking)}")
            told = attempt(guide, given.binary.resolve())
        except Failure as failure:
            good, told = False, f"FAILED: {failure}"
        print(f"{guide.title}: {told}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
