"""What scripts/build-dist trains a build with: the loads of the bench, and what they leave out.

A profile of the bench alone would make its workloads fast, and call all else cold.
"""

import contextlib
import http.client
import http.server
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import threading
import time

from . import load, processes, sides, workloads
from .command import ORIGINS, certificate, expected_body, say

TURN_S = 2
ENGINES = ["epoll", "uring"]
CHUNK, CHUNKS, LARGE = b"x" * 5_000, 20, b"y" * 1_000_000
EXPERIMENT_S = 300


class Origin(http.server.BaseHTTPRequestHandler):
    """Sends in chunks what it got: what the origin of the bench does not do."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.end_headers()
        for data in self.body() or [CHUNK]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    do_POST = do_PUT = do_GET

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def body(self):
        """The body of the request, in parts."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = int(self.headers.get("Content-Length", 0))
            return [self.rfile.read(length)] if length else []
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return parts

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of requests that break off, as those do that h2load has under way at its end."""
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def chunking_origin():
    """Yields its port."""
    server = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


REQUESTS = [
    ("GET", "/page?a=1", None, 200, CHUNK),
    ("GET", "/missing", None, 404, CHUNK),
    ("HEAD", "/page", None, 200, b""),
    ("POST", "/chunked", [CHUNK] * CHUNKS, 200, CHUNK * CHUNKS),
    ("PUT", "/large", LARGE, 200, LARGE),
    ("POST", "/form", b"a=1&b=2", 200, b"a=1&b=2"),
]


def ask_all_kinds(connection, until):
    """All of REQUESTS again and again on one connection, with fields as browsers and proxies send them."""
    fields = {**load.FIELDS, "Cookie": "session=1; other=2", "X-Forwarded-For": "192.0.2.1",
              "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    while time.monotonic() < until:
        for method, path, body, status, expected in REQUESTS:
            connection.request(method, path, body, fields, encode_chunked=isinstance(body, list))
            answer = connection.getresponse()
            got = answer.status, answer.read()
            if got != (status, expected):
                raise SystemExit(f"{method} {path}: status {got[0]} and {len(got[1])} bytes")
    connection.close()


def all_kinds(side, folder):
    """With and without TLS, and over HTTP/2 if h2load is there."""
    context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
    until = time.monotonic() + TURN_S
    ask_all_kinds(http.client.HTTPConnection("127.0.0.1", side.ports["plain"], timeout=processes.PATIENCE_S), until)
    ask_all_kinds(http.client.HTTPSConnection(
        "localhost", side.ports["tls"], timeout=processes.PATIENCE_S, context=context), until + TURN_S)
    if shutil.which("h2load"):
        pathlib.Path(folder, "upload").write_bytes(CHUNK)
        status, out, complaints = processes.run(
            ["h2load", "-t1", "-c4", "-m10", f"-D{TURN_S}", "-d", f"{folder}/upload",
             f"https://localhost:{side.ports['tls']}/upload"], os.sched_getaffinity(0), TURN_S)
        if status or " 0 failed, 0 errored" not in out:
            raise SystemExit(f"h2load: {(complaints or out).strip()[-300:]}")


@contextlib.contextmanager
def trained(contender, upstreams, folder, profiles):
    """A running balancer that leaves a profile behind, which it writes when it ends by itself."""
    before = set(os.listdir(profiles))
    with contender.running(upstreams, folder, os.sched_getaffinity(0), workers=2) as side:
        yield side
    if not set(os.listdir(profiles)) - before:
        raise SystemExit(f"{contender.program} has written no profile at its end")


def train_engine(contender, tools, upstreams, folder, profiles):
    with trained(contender, upstreams, folder, profiles) as side:
        for workload in workloads.ALL:
            if workload.turn and (not workload.needs or shutil.which(workload.needs)):
                say(f"  {workload.title}")
                try:
                    workload.turn(tools, side, TURN_S)
                except load.Failed as failure:
                    raise SystemExit(f"{workload.title}: {failure}") from None
    say("  other kinds of requests")
    with chunking_origin() as port, trained(contender, [port], folder, profiles) as side:
        all_kinds(side, folder)


def experiment(program, folder):
    """Replicas of its own, that are added, removed, weighted and killed under load through the admin API."""
    command = [program, "experiment", "all", "--seed", "1", "--out", f"{folder}/report"]
    if subprocess.run([program, "experiment", "--help"], capture_output=True, check=False).returncode:
        say("skipped: replicas that come and go, because this build has no ringherd experiment")
        return
    say("training with replicas that come and go")
    status, _, complaints = processes.run(command, os.sched_getaffinity(0), EXPERIMENT_S)
    if status:
        raise SystemExit(f"ringherd experiment ended with {status}:\n{complaints[-1000:]}")


def train(program, profiles):
    """Runs everything, on both I/O engines if there are; returns the files with what was counted."""
    # Each process has a file of its own.
    os.environ["LLVM_PROFILE_FILE"] = f"{profiles}/%p.profraw"
    with tempfile.TemporaryDirectory(prefix="build-dist-") as folder:
        os.chmod(folder, 0o755)
        certificate(folder)
        helper = load.build_helper(folder)
        cores = os.sched_getaffinity(0)
        with load.origins(helper, ORIGINS, cores) as upstreams:
            tools = load.Tools(helper, cores, folder, expected_body(upstreams[0]))
            for mode in ENGINES:
                say(f"training with --io {mode}")
                contender = sides.Contender("ringherd", "ringherd", program, ["--io", mode], is_ours=True)
                try:
                    train_engine(contender, tools, upstreams, folder, profiles)
                except sides.Unusable as reason:
                    if mode == ENGINES[0]:
                        raise SystemExit(str(reason)) from None
                    say(f"skipped: {reason}")
        # Dozens of processes share two files.
        os.environ["LLVM_PROFILE_FILE"] = f"{profiles}/%2m.profraw"
        experiment(program, folder)
    del os.environ["LLVM_PROFILE_FILE"]
    return list(pathlib.Path(profiles).iterdir())
