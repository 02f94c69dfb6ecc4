"""The load: what one turn of each workload does to a side, and how it is known that every answer was right."""

import contextlib
import multiprocessing
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time

from . import processes

SMALL = 128
CONNECTIONS = 32
STREAMS = 100
HANDSHAKERS = 4
FIELDS = {
    "User-Agent": "bench/1.0", "Accept": "text/html,application/json;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br", "Accept-Language": "en",
}


class Failed(Exception):
    """A turn in which an answer was wrong or missing."""


class Tools:
    """What turns need: the helper, the cores of the load, and a folder."""

    def __init__(self, helper, cores, folder, expected):
        self.helper, self.cores, self.folder, self.expected = helper, cores, folder, expected


def build_helper(folder):
    """Compiles the origin and the load of small requests; returns the program."""
    source = pathlib.Path(__file__).with_name("bench.c")
    program = f"{folder}/bench"
    made = subprocess.run(["cc", "-O2", "-o", program, str(source), "-lm"], capture_output=True, text=True, check=False)
    if made.returncode:
        raise SystemExit(f"{source.name} cannot be compiled:\n{made.stderr}")
    return program


@contextlib.contextmanager
def origins(helper, count, cores):
    """Servers in a process of their own; yields their ports."""
    process = processes.start([helper, "origin", str(count)], cores, stdout=subprocess.PIPE, text=True)
    try:
        ports = [int(port) for port in process.stdout.readline().split()]
        if len(ports) != count:
            raise SystemExit("the origins do not start")
        yield ports
    finally:
        processes.stop(process)
        process.stdout.close()


def helper_load(kind, connections=CONNECTIONS, loaders=1):
    """A turn with the load of bench.c, which checks everything itself."""
    def turn(tools, side, seconds, rate=0):
        command = [tools.helper, "load", kind, str(side.ports["plain"]), str(connections), str(seconds)]
        if rate:
            command.append(str(rate))
        running = [processes.start(command, tools.cores, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for _ in range(loaders)]
        try:
            ended = [loader.communicate(timeout=seconds + processes.PATIENCE_S) for loader in running]
        except subprocess.TimeoutExpired:
            raise Failed("the load does not end") from None
        finally:
            for loader in running:
                if loader.poll() is None:
                    loader.kill()
                    loader.wait()
        figures = []
        for loader, (out, complaints) in zip(running, ended):
            if loader.returncode:
                raise Failed(complaints.strip())
            figures.append([float(word) for word in out.split()])
        result = {"requests": sum(figure[0] for figure in figures), "seconds": max(figure[1] for figure in figures)}
        if rate:
            result["p50_us"], result["p99_us"] = figures[0][2:]
        return result
    return turn


def http2(tools, side, seconds):
    """100 streams at a time on one connection of HTTP/2 without TLS, by prior knowledge."""
    fields = [word for name, value in FIELDS.items() for word in ("-H", f"{name}: {value}")]
    command = ["h2load", "-t1", "-c1", f"-m{STREAMS}", f"-D{max(1, round(seconds))}", *fields,
               f"http://127.0.0.1:{side.ports['h2c']}/small"]
    status, out, complaints = processes.run(command, tools.cores, seconds)
    counts = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored",
                       out)
    spent = re.search(r"finished in ([\d.]+)(us|ms|s|m)", out)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    data = re.search(r"traffic: .*\((\d+)\) data", out)
    if status or not (counts and spent and codes and data):
        raise Failed(f"h2load: {(complaints or out).strip()[-300:]}")
    done, succeeded, failed, errored = (int(count) for count in counts.groups()[1:])
    # It says of bodies only how many bytes they were. Streams that were open at the end have sent some.
    extra = int(data.group(1)) - done * SMALL
    if failed or errored or succeeded != done or not done or not 0 <= extra <= STREAMS * SMALL:
        raise Failed(f"h2load: {counts.group(0)}; {codes.group(0)}; {extra} bytes more than bodies of {SMALL}")
    if "protocol: h2c" not in out:
        raise Failed("h2load: this was no HTTP/2")
    return {"requests": done, "seconds": max(1, round(seconds))}


LUA = """
local requests, number = {}, 0
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  for i = 1, 1024 do
    requests[i] = wrk.format("GET", "/small", {%s, ["X-Request-Id"] = string.format("%%032x", i * 2654435761)})
  end
end
function request()
  number = number %% 1024 + 1
  return requests[number]
end
failures = 0
function response(status, headers, body)
  if status ~= 200 or body ~= "%s" then failures = failures + 1 end
end
function done(summary, latency, requests)
  local wrong, errors = 0, summary.errors
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("failures") end
  io.write(string.format("checked %%d %%d %%d\\n", summary.requests, summary.duration,
    wrong + errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def tls(tools, side, seconds):
    """Small requests on connections of TLS 1.3 that stay open."""
    script = pathlib.Path(tools.folder, "tls.lua")
    if not script.exists():
        fields = ", ".join(f'["{name}"] = "{value}"' for name, value in {"Host": "localhost", **FIELDS}.items())
        script.write_text(LUA % (fields, tools.expected.decode()))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(script),
               f"https://127.0.0.1:{side.ports['tls']}/small"]
    status, out, complaints = processes.run(command, tools.cores, seconds)
    figures = re.search(r"checked (\d+) (\d+) (\d+)", out)
    if status or not figures:
        raise Failed(f"wrk: {(complaints or out).strip()[-300:]}")
    requests, microseconds, wrong = map(int, figures.groups())
    if wrong or not requests:
        raise Failed(f"wrk: {wrong} of {requests} answers were wrong or missing")
    return {"requests": requests, "seconds": microseconds / 1e6}


def shake_hands(port, until, is_resumed, expected, cores, pipe):
    """Opens connections until that time, one after another, with a request on each; sends how many it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, cores)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session, done, cipher = None, 0, None
    # The first of those that resume has nothing to resume, and its cost is that of one request of thousands.
    try:
        while time.monotonic() < until or not done:
            with socket.create_connection(("127.0.0.1", port), processes.PATIENCE_S) as raw:
                with context.wrap_socket(raw, server_hostname="localhost", session=session) as stream:
                    if stream.session_reused != (session is not None):
                        raise OSError("the session was not resumed" if session else "a session was resumed")
                    stream.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while data := stream.recv(16_384):
                        answer += data
                    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\n" + expected):
                        raise OSError(f"answered {answer[:60]}")
                    if is_resumed:
                        session = stream.session
                    cipher = stream.cipher()[0]
                    done += 1
        pipe.send((done, cipher, None))
    except (OSError, ValueError) as error:
        pipe.send((done, cipher, str(error)))


def handshakes(is_resumed):
    """Connections of TLS 1.3 with one request each."""
    def turn(tools, side, seconds):
        began = time.monotonic()
        players = []
        for _ in range(HANDSHAKERS):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            told = (side.ports["tls"], began + seconds, is_resumed, tools.expected, tools.cores, theirs)
            player = multiprocessing.Process(target=shake_hands, args=told, daemon=True)
            player.start()
            theirs.close()
            players.append((player, ours))
        done, ciphers = 0, set()
        try:
            for player, ours in players:
                if not ours.poll(seconds + processes.PATIENCE_S):
                    raise Failed("the clients do not end")
                try:
                    count, cipher, wrong = ours.recv()
                except EOFError:
                    raise Failed("a client has died") from None
                if wrong:
                    raise Failed(wrong)
                done += count
                ciphers.add(cipher)
        finally:
            for player, _ in players:
                player.kill()
                player.join()
        return {"requests": done, "seconds": time.monotonic() - began, "cipher": ", ".join(sorted(ciphers))}
    return turn
