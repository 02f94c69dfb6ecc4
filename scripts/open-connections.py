#!/usr/bin/env python3
"""Many open connections: is each of them served, and what does an idle one cost.

    scripts/open-connections.py BINARY [COUNT] [--peers] [--repeat N]

COUNT connections (10,000) are opened to a balancer with one worker, and stay open. Each makes one request at
the start and, when all are idle, one more at the end. Printed are, in clear text and over TLS,

- memory: what the resident set of the balancer (all its processes) grew by for each idle connection, in KiB,
- all: that set while all are idle, in MiB,
- opened: time until all were open and had made their first request,
- again: time for the second requests,
- failed: requests that did not get their 200 on their own connection; has to be 0.

With --peers the same is done with nginx and HAProxy, which it installs (Debian's packages, with apt-get) if
they are missing: one worker, the same origin, keep-alive on both sides, and idle time-outs that are longer than
it takes. With --repeat, each figure is the median of so many runs; `failed` is the sum.

The origin and the clients are processes of their own. Needs Linux, openssl, and twice as many open
files as connections: it raises the limit itself where it may. Exits with 1 if a request failed.
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import keep_alive_origin

REQUEST = b"GET /%d HTTP/1.1\r\nhost: localhost\r\n\r\n"
# So many connections are being opened or asked at a time; the rest of the open ones is idle.
AT_A_TIME = 200
# A source address has 28,000 ports; fewer are taken from each, so that none is waited for.
PER_ADDRESS = 5000
# Of Linux; Python has no name for it yet.
IP_BIND_ADDRESS_NO_PORT = 24
PATIENCE_S = 60
TRIES_S = 0.05
LONGER_S = 3600


@contextlib.contextmanager
def origin():
    """A server in a process of its own; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    process = multiprocessing.Process(target=keep_alive_origin.serve, args=(listener,), daemon=True)
    process.start()
    port = listener.getsockname()[1]
    listener.close()
    try:
        yield port
    finally:
        process.kill()
        process.join()


class Client:
    """One connection; it is asked in steps, whenever its socket is ready."""

    def __init__(self, port, number, context):
        self.number = number
        self.raw = socket.socket()
        self.raw.setblocking(False)
        # The port is chosen when it connects. Chosen before, it takes seconds while many wait for their end.
        self.raw.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.raw.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
        self.raw.connect_ex(("127.0.0.1", port))
        # It stays the same in TLS.
        self.fd = self.raw.fileno()
        self.socket, self.context = self.raw, context
        self.shaken = context is None
        self.sent, self.answer = False, b""

    def begin(self):
        """A new request, on the same connection."""
        self.sent, self.answer = False, b""

    def step(self):
        """Goes on as far as it can: what it waits for then, or nothing when it has its answer."""
        try:
            if not self.shaken:
                if self.socket is self.raw:
                    error = self.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if error:
                        raise OSError(error, os.strerror(error))
                    self.socket = self.context.wrap_socket(
                        self.raw, server_hostname="localhost", do_handshake_on_connect=False)
                self.socket.do_handshake()
                self.shaken = True
            if not self.sent:
                self.socket.send(REQUEST % self.number)
                self.sent = True
            while not self.answer.endswith(b"\r\n\r\nok"):
                data = self.socket.recv(4096)
                if not data:
                    raise OSError("closed by the balancer")
                self.answer += data
        except (BlockingIOError, ssl.SSLWantReadError):
            return select.EPOLLIN
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        if not self.answer.startswith(b"HTTP/1.1 200 "):
            raise OSError(f"answered {self.answer[:40]}")
        return None


def ask_all(clients, begin):
    """Has each client get an answer, some at a time; returns the reasons of those that got none."""
    poll, under_way, failed = select.epoll(), {}, []
    waiting = iter(clients)
    exhausted = False
    while under_way or not exhausted:
        while len(under_way) < AT_A_TIME and not exhausted:
            number = next(waiting, None)
            if number is None:
                exhausted = True
                break
            client = begin(number)
            under_way[client.fd] = client
            poll.register(client.fd, select.EPOLLOUT)
        ready = poll.poll(PATIENCE_S)
        if not ready and under_way:
            return failed + [f"connection {client.number}: no answer" for client in under_way.values()]
        for fd, _ in ready:
            client = under_way[fd]
            try:
                wanted = client.step()
            except OSError as error:
                failed.append(f"connection {client.number}: {error}")
                wanted = None
            if wanted is None:
                poll.unregister(fd)
                del under_way[fd]
            else:
                poll.modify(fd, wanted)
    return failed


def play_clients(port, count, secure, pipe):
    """Opens all, says how that went, and asks all again when it is told to."""
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = {}

    def open_one(number):
        clients[number] = Client(port, number, context)
        return clients[number]

    def ask_again(number):
        clients[number].begin()
        return clients[number]

    for begin in [open_one, ask_again]:
        pipe.recv()
        began = time.monotonic()
        failed = ask_all(range(count), begin)
        pipe.send((failed, time.monotonic() - began))
    pipe.recv()


def resident(pid):
    """KiB of a process and its descendants."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:") or line.startswith("RssFile:") or line.startswith("RssShmem:"):
                total += int(line.split()[1])
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total += sum(resident(child) for child in children)
    return total


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def ringherd(given, folder, upstream, clear, tls):
    return [
        given.binary, "--upstream", f"127.0.0.1:{upstream}", "--workers", "1", "--max-connections",
        str(given.count + 100), "--keep-alive", "1h", "--listen", f"127.0.0.1:{clear}",
        "--admin-listen", "127.0.0.1:0", "--tls-listen", f"127.0.0.1:{tls}",
        "--tls-certificate", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem",
    ]


def nginx(given, folder, upstream, clear, tls):
    pathlib.Path(folder, "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
        worker_rlimit_nofile {2 * given.count + 200};
        events {{ worker_connections {2 * given.count + 100}; }}
        http {{
            access_log off; keepalive_timeout {LONGER_S}; keepalive_requests 100000;
            client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            upstream origin {{ server 127.0.0.1:{upstream}; keepalive 256; }}
            server {{
                listen 127.0.0.1:{clear} backlog=4096; listen 127.0.0.1:{tls} ssl backlog=4096;
                ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
                location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            }}
        }}""")
    return ["nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/nginx.log"]


def haproxy(given, folder, upstream, clear, tls):
    pathlib.Path(folder, "cert.pem.key").write_text(pathlib.Path(folder, "key.pem").read_text())
    pathlib.Path(folder, "haproxy.cfg").write_text(f"""
global
    nbthread 1
    maxconn {given.count + 50}
defaults
    mode http
    timeout client {LONGER_S}s
    timeout http-keep-alive {LONGER_S}s
    timeout server {LONGER_S}s
    timeout connect 10s
frontend all
    bind 127.0.0.1:{clear} backlog 4096
    bind 127.0.0.1:{tls} ssl crt {folder}/cert.pem backlog 4096
    default_backend origin
backend origin
    server origin 127.0.0.1:{upstream}
""")
    return ["haproxy", "-f", f"{folder}/haproxy.cfg"]


def certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
        check=True, stderr=subprocess.DEVNULL,
    )


def await_answer(port, process):
    """Waits until a request through the balancer is answered."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
            return
        time.sleep(TRIES_S)
    raise SystemExit(f"{process.args[0]} does not come up")


@contextlib.contextmanager
def balancer(command, clear):
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            await_answer(clear, process)
            yield process.pid
        except SystemExit:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run(given, peer, secure, upstream):
    """One balancer from start to end; returns the figures of its row."""
    clear, tls = free_port(), free_port()
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        certificate(folder)
        os.chmod(folder, 0o755)
        with balancer(peer(given, folder, upstream, clear, tls), clear) as pid:
            port = tls if secure else clear
            told = (port, given.count, secure, theirs)
            clients = multiprocessing.Process(target=play_clients, args=told, daemon=True)
            clients.start()
            # So that the end of the clients is noticed.
            theirs.close()
            try:
                before = resident(pid)
                ours.send("open")
                failed, opened = ours.recv()
                after = resident(pid)
                ours.send("ask again")
                failed_again, again = ours.recv()
                ours.send("end")
            finally:
                clients.kill()
                clients.join()
    failed += failed_again
    for reason in failed[:3]:
        print(f"  {reason}", file=sys.stderr)
    return {"each": (after - before) / given.count, "all": after / 1024, "opened": opened, "again": again,
            "failed": len(failed)}


def raise_limit(count):
    """For each of the processes: the clients, and a balancer with as many connections to its origin."""
    wanted = 2 * count + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (ValueError, OSError):
        raise SystemExit(f"{wanted} open files are needed for {count} connections, and the limit is {hard}:"
                         " raise it (ulimit -n), or ask for fewer")


def install(programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=sys.stderr)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True, stdout=sys.stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("count", nargs="?", type=int, default=10_000)
    arguments.add_argument("--peers", action="store_true", help="nginx and HAProxy too")
    arguments.add_argument("--repeat", type=int, default=1)
    given = arguments.parse_args()
    raise_limit(given.count)
    # So that the balancers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peers = [("ringherd", ringherd)]
    if given.peers:
        install(["nginx", "haproxy"])
        peers += [("nginx", nginx), ("HAProxy", haproxy)]
    failed = 0
    print(f"{given.count} connections{'memory':>17} {'all':>10} {'opened':>8} {'again':>8} {'failed':>7}")
    with origin() as upstream:
        for secure in [False, True]:
            for name, peer in peers:
                runs = [run(given, peer, secure, upstream) for _ in range(given.repeat)]
                each, all_, opened, again = (
                    statistics.median(figures[key] for figures in runs) for key in ["each", "all", "opened", "again"])
                lost = sum(figures["failed"] for figures in runs)
                failed += lost
                print(f"{name + (', TLS' if secure else ''):<22}{each:>8.1f} KiB {all_:>6.0f} MiB {opened:>6.1f} s"
                      f" {again:>6.1f} s {lost:>7}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
