"""Memory for connections that are open and idle: each makes a request, stays idle, and makes another at the end."""

import contextlib
import multiprocessing
import os
import resource
import select
import signal
import socket
import ssl
import time

from . import processes
from .load import Failed

REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
# So many connections are being opened or asked at a time; the rest of the open ones is idle.
AT_A_TIME = 200
# A source address has 28,000 ports; fewer are taken from each, so that none is waited for.
PER_ADDRESS = 5000
# Of Linux; Python has no name for it yet.
IP_BIND_ADDRESS_NO_PORT = 24
PATIENCE_S = 60
# A balancer may give memory back some time after its connections fell idle. It is looked at until it is the same
# for a while, or for this long.
STEADY_S, SETTLE_S, LOOK_S = 3, 20, 0.5


class Client:
    """One connection; it is asked in steps, whenever its socket is ready."""

    def __init__(self, port, number, context, expected):
        self.number, self.expected = number, b"\r\n\r\n" + expected
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
                self.socket.send(REQUEST)
                self.sent = True
            while not self.answer.endswith(self.expected):
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


def play_clients(port, count, secure, expected, cores, pipe):
    """Opens all, says how that went, and asks all again when it is told to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, cores)
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = {}

    def open_one(number):
        clients[number] = Client(port, number, context, expected)
        return clients[number]

    def ask_again(number):
        clients[number].begin()
        return clients[number]

    for begin in [open_one, ask_again]:
        pipe.recv()
        pipe.send(ask_all(range(count), begin))
    pipe.recv()


def settled(pid):
    """KiB in memory, when that does not change any more."""
    began = steady = time.monotonic()
    last = processes.resident(pid)
    while time.monotonic() - steady < STEADY_S and time.monotonic() - began < SETTLE_S:
        time.sleep(LOOK_S)
        seen = processes.resident(pid)
        if seen != last:
            last, steady = seen, time.monotonic()
    return last


def measure(contender, secure, count, upstreams, certificate, cores, load_cores, expected):
    """KB (1,000 bytes) that a fresh balancer grows by for each idle connection."""
    ours, theirs = multiprocessing.Pipe()
    with contender.running(upstreams, certificate, cores, connections=count) as side:
        told = (side.ports["tls" if secure else "plain"], count, secure, expected, load_cores, theirs)
        clients = multiprocessing.Process(target=play_clients, args=told, daemon=True)
        clients.start()
        # So that the end of the clients is noticed.
        theirs.close()
        try:
            before = processes.resident(side.pid)
            ours.send("open")
            failed = ours.recv()
            after = settled(side.pid)
            ours.send("ask again")
            failed += ours.recv()
            ours.send("end")
        except EOFError:
            raise Failed("the clients have died") from None
        finally:
            clients.kill()
            clients.join()
    if failed:
        raise Failed(f"{len(failed)} requests, the first: {failed[0]}")
    return (after - before) * 1024 / 1000 / count


def raise_limit(count):
    """For each of the processes: the clients, and a balancer with as many connections to its origin."""
    wanted = 2 * count + 400
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
        return
    raise SystemExit(f"{wanted} open files are needed for {count} idle connections, and the limit is {hard}:"
                     " raise it (ulimit -n), or ask for fewer (--idle-connections)")
