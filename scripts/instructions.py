#!/usr/bin/env python3
"""Counts user-space instructions per request. Run it through scripts/instructions.sh.

The balancer runs under callgrind with one worker, in front of one origin server that this script
runs itself. One client sends requests one after the other, over HTTP/2 a hundred at a time, with fixed
ids and six header fields each way. Each workload runs twice, with few and with many requests; the difference divided by the
number of additional requests is the figure, so that start-up and shutdown cancel out. Each run is
repeated, and the lowest count of each kind is taken: a read that finds half of a response, or an
unlucky order of malloc's free lists, only adds to what the requests cost.

All threads count, so that moving work to another thread does not look like saving it. Heartbeats
are an hour apart; what the control thread does besides is less than 0.1 % of the figures.

Callgrind counts instructions and not time. So the figures hardly depend on the machine or on its
load; they do depend on the compiler and the profile, which the baseline names.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading

BASELINE = pathlib.Path(__file__).with_name("instructions.baseline")
TOLERANCE_PERCENT = 3.0
FEW, MANY, RUNS = 500, 3_000, 3

# Under callgrind everything takes some fifty times as long. No timer may go off meanwhile.
OPTIONS = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--public-admin", "off",
           "--workers", "1", "--runtime", "fixed", "--health-interval", "1h", "--health-timeout", "1m",
           "--connect-timeout", "1m", "--response-timeout", "1h", "--body-timeout", "1h",
           "--header-timeout", "1h", "--keep-alive", "1h", "--upstream-keep-alive", "1h",
           "--start-timeout", "5m", "--access-log", "off", "--log-format", "json"]

SMALL = b"x" * 128
LARGE = b"x" * 65_536
UPLOAD = b"x" * 16_384

STREAMS = 100
HTTP1, RECONNECT, HTTP2 = "each on the same connection", "each on one of its own", "streams of one connection"

# Name, method, path, request body, how requests share connections.
WORKLOADS = [
    ("small GET", "GET", "/small", b"", HTTP1),
    ("64 KiB response", "GET", "/large", b"", HTTP1),
    ("16 KiB POST", "POST", "/small", UPLOAD, HTTP1),
    ("new connection", "GET", "/small", b"", RECONNECT),
    ("HTTP/2", "GET", "/small", b"", HTTP2),
]


class Buffered:
    """A socket, and what was read of it beyond the message before."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def message(self):
        """Head and body of the next message; None at the end of the stream."""
        data = self.rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = self.connection.recv(262_144)
            if not more:
                return None
            data += more
        head = data[:end].decode("latin-1")
        length = re.search(r"(?im)^content-length: *(\d+)", head)
        end += 4 + (int(length.group(1)) if length else 0)
        while len(data) < end:
            more = self.connection.recv(262_144)
            if not more:
                return None
            data += more
        self.rest = data[end:]
        return head, data[len(head) + 4:end]

    def exactly(self, length):
        """So many bytes."""
        while len(self.rest) < length:
            more = self.connection.recv(262_144)
            if not more:
                sys.exit("the balancer has closed the connection")
            self.rest += more
        taken, self.rest = self.rest[:length], self.rest[length:]
        return taken


class Origin:
    """An HTTP/1 server on a free port: a thread for each connection, one write for each response.

    As many requests as `at_once` are answered together: otherwise it would depend on the scheduler how many
    responses the balancer finds at a time. Heartbeats are none of them.
    """

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2 * STREAMS)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.at_once, self.held, self.lock = 1, [], threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(ConnectionError):
            stream = Buffered(connection)
            while message := stream.message():
                body = LARGE if message[0].startswith("GET /large") else SMALL
                head = ("HTTP/1.1 200 OK\r\n"
                        "Server: origin\r\n"
                        "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        f"Content-Length: {len(body)}\r\n"
                        "Cache-Control: public, max-age=60\r\n"
                        'ETag: "5f3759df"\r\n'
                        "\r\n")
                self.respond(connection, head.encode() + body, message[0])

    def respond(self, connection, response, request):
        if "x-request-id" not in request.lower():
            connection.sendall(response)
            return
        with self.lock:
            self.held.append((connection, response))
            if len(self.held) == self.at_once:
                for connection, response in self.held:
                    connection.sendall(response)
                self.held.clear()


class Balancer:
    """A balancer under callgrind."""

    def __init__(self, binary, upstream, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
             f"--log-file={folder}/valgrind.log", binary, *OPTIONS, "--upstream", upstream],
            stderr=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
        said = []
        for line in self.process.stderr:
            said.append(line)
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event["message"] == "listening":
                    host, port = event["address"].rsplit(":", 1)
                    self.address = (host, int(port))
                    break
        else:
            sys.exit("the balancer does not start:\n" + "".join(said))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        """Ends it and returns the instructions that it executed."""
        self.process.terminate()
        status = self.process.wait(120)
        if status != 0:
            sys.exit(f"the balancer ended with {status}")
        profile = pathlib.Path(self.folder, "out").read_text()
        return int(re.search(r"(?m)^totals: (\d+)", profile).group(1))

    def kill(self):
        self.process.kill()
        self.process.wait()


def connect(address):
    """A connection whose first request arrives together with the end of the handshake.

    Otherwise it would depend on the scheduler whether the balancer accepts the connection and reads
    the request in one turn or in two. On the client's side this option holds back the last packet of
    the handshake until there is something to send.
    """
    connection = socket.socket()
    connection.settimeout(60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
    connection.connect(address)
    return Buffered(connection)


def disconnect(stream):
    """Ends a connection and waits until the balancer has ended it too."""
    stream.connection.shutdown(socket.SHUT_WR)
    if stream.connection.recv(1):
        sys.exit("the balancer sent more than a response")
    stream.connection.close()


def exchange(stream, method, path, body, number):
    """One request; its response must be a good one."""
    head = (f"{method} {path} HTTP/1.1\r\n"
            "Host: service.example\r\n"
            "User-Agent: instructions/1.0\r\n"
            "Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\n"
            "Accept-Encoding: gzip, deflate, br\r\n"
            f"X-Request-Id: {number:032x}\r\n")
    head += f"Content-Length: {len(body)}\r\n\r\n" if body else "Accept-Language: en\r\n\r\n"
    stream.connection.sendall(head.encode() + body)
    message = stream.message()
    expected = LARGE if path == "/large" else SMALL
    if message is None or not message[0].startswith("HTTP/1.1 200 ") or message[1] != expected:
        sys.exit(f"{method} {path}: a bad response: {message and message[0]}")


def frame(kind, flags, stream, payload):
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


def field(name, value, first):
    """A header field in HPACK's literal form, without Huffman's code."""
    return b"".join([first, bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()])


class Http2:
    """A connection of HTTP/2 by prior knowledge, on which STREAMS requests go out at a time, in one write."""

    DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
    END_STREAM, ACK, END_HEADERS = 1, 1, 4
    # What is the same in each request: the first one puts it into the table of fields, of which the last is 62.
    SAME = [(":path", "/small"), (":authority", "service.example"), ("user-agent", "instructions/1.0"),
            ("accept", "text/html,application/json;q=0.9,*/*;q=0.8"), ("accept-encoding", "gzip, deflate, br"),
            ("accept-language", "en")]
    GET_HTTP, STATUS_200, INDEXED = b"\x82\x86", b"\x88", 0x80

    def __init__(self, address):
        self.stream = connect(address)
        window = struct.pack(">I", 1 << 30)
        self.queued = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(self.SETTINGS, 0, 0, b"")
                       + frame(self.WINDOW_UPDATE, 0, 0, window))
        self.number = 0

    def head(self):
        """The next request's header block."""
        same = [bytes([self.INDEXED | 62 + index]) for index in reversed(range(len(self.SAME)))]
        if self.number == 0:
            same = [field(name, value, b"\x40") for name, value in self.SAME]
        return self.GET_HTTP + b"".join(same) + field("x-request-id", f"{self.number:032x}", b"\x00")

    def exchange(self):
        """STREAMS requests; all responses must be good ones."""
        for _ in range(STREAMS):
            flags = self.END_STREAM | self.END_HEADERS
            self.queued += frame(self.HEADERS, flags, 2 * self.number + 1, self.head())
            self.number += 1
        self.stream.connection.sendall(self.queued)
        self.queued = b""
        ended = 0
        while ended < STREAMS:
            kind, flags, payload = self.frame()
            if kind == self.SETTINGS and not flags & self.ACK:
                self.queued = frame(self.SETTINGS, self.ACK, 0, b"")
            elif kind == self.HEADERS and not payload.startswith(self.STATUS_200):
                sys.exit(f"HTTP/2: a bad response: {payload}")
            elif kind == self.DATA:
                if payload != SMALL:
                    sys.exit(f"HTTP/2: a bad body: {payload}")
                ended += flags & self.END_STREAM
            elif kind not in [self.HEADERS, self.SETTINGS, self.WINDOW_UPDATE]:
                sys.exit(f"HTTP/2: a frame of kind {kind}: {payload}")

    def frame(self):
        """Kind, flags and payload of the next frame."""
        length, kind, flags = struct.unpack(">IBB", b"\0" + self.stream.exactly(9)[:5])
        return kind, flags, self.stream.exactly(length)


def ask(address, workload, requests):
    """Makes this many requests."""
    _, method, path, body, sharing = workload
    if sharing == HTTP2:
        http2 = Http2(address)
        for _ in range(requests // STREAMS):
            http2.exchange()
        http2.stream.connection.close()
        return
    stream = None
    for number in range(requests):
        if stream is None:
            stream = connect(address)
        exchange(stream, method, path, body, number)
        if sharing == RECONNECT:
            disconnect(stream)
            stream = None
    if stream is not None:
        disconnect(stream)


def run(binary, origin, workload, requests):
    """Instructions of one run with this many requests."""
    origin.at_once = STREAMS if workload[-1] == HTTP2 else 1
    with tempfile.TemporaryDirectory() as folder:
        balancer = Balancer(binary, origin.address, folder)
        try:
            ask(balancer.address, workload, requests)
            return balancer.stop()
        finally:
            balancer.kill()


def measure(binary):
    """Instructions per request by workload."""
    origin = Origin()
    figures = {}
    for workload in WORKLOADS:
        few, many = ([run(binary, origin, workload, requests) for _ in range(RUNS)]
                     for requests in (FEW, MANY))
        figures[workload[0]] = round((min(many) - min(few)) / (MANY - FEW))
        spread = (max(many) - min(many)) / min(many) * 100
        print(f"{workload[0]}: {figures[workload[0]]}, long runs within {spread:.2f} %", flush=True)
    return figures


def toolchain():
    """The compiler that `cargo` uses here, and the C library, whose memcpy counts."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout.split()
    return {"rustc": rustc[1] if len(rustc) > 1 else "unknown",
            "system": f"{platform.machine()}, {' '.join(platform.libc_ver())}"}


def read_baseline():
    """The `name: value` lines of the baseline."""
    lines = (line.split(":", 1) for line in BASELINE.read_text().splitlines()
             if line.strip() and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in lines}


def write_baseline(figures):
    lines = ["# User-space instructions per request of the release profile, all threads of the balancer.",
             "# Written by `scripts/instructions.sh --accept`; commit it together with the reason.",
             *(f"{name}: {value}" for name, value in toolchain().items()),
             *(f"{name}: {figure}" for name, figure in figures.items())]
    BASELINE.write_text("\n".join(lines) + "\n")


def compare(figures):
    """Prints each figure beside the baseline; whether none is too far above it."""
    baseline = read_baseline()
    above, below = [], []
    print(f"{'workload':<18}{'baseline':>10}{'now':>10}{'change':>10}")
    for name, now in figures.items():
        if name not in baseline:
            sys.exit(f"{BASELINE.name} has no figure for {name}: renew it with scripts/instructions.sh --accept")
        before = int(baseline[name])
        percent = (now - before) / before * 100
        print(f"{name:<18}{before:>10}{now:>10}{percent:>+9.2f}%")
        line = f"{name}: {before} instructions per request before, {now} now, {percent:+.2f} %"
        if percent > TOLERANCE_PERCENT:
            above.append(line)
        elif percent < -TOLERANCE_PERCENT:
            below.append(line)
    for name, value in toolchain().items():
        if baseline.get(name) != value:
            print(f"note: the baseline was measured with {name} {baseline.get(name)}, this is {value}; "
                  "that alone may explain a difference")
    if below:
        print(f"more than {TOLERANCE_PERCENT:g} % below the baseline:", *below, sep="\n  ")
        print("renew the baseline, so that the gain is kept: scripts/instructions.sh --accept")
    if above:
        print(f"more than {TOLERANCE_PERCENT:g} % above the baseline:", *above, sep="\n  ")
        print("If there is a good reason for it, accept it with scripts/instructions.sh --accept, and\n"
              "commit scripts/instructions.baseline with the reason in the commit message.")
    return not above


def main():
    default = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "ringherd")
    parser = argparse.ArgumentParser(prog="scripts/instructions.sh", description="Instructions per request.")
    parser.add_argument("--accept", action="store_true", help="make the result the new baseline")
    parser.add_argument("binary", nargs="?", type=pathlib.Path, default=default)
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        sys.exit(f"there is no {arguments.binary}: build it with cargo build --release, or name another one")
    figures = measure(arguments.binary)
    if arguments.accept:
        write_baseline(figures)
        print(BASELINE.read_text(), end="")
    elif not compare(figures):
        sys.exit(1)


if __name__ == "__main__":
    main()
