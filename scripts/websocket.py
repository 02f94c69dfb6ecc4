#!/usr/bin/env python3
"""Whether a balancer leaves a WebSocket as it is: see scripts/websocket.sh, which starts this.

    websocket.py BINARY [--all]

Needs kosoku and websockets from PyPI.
"""

import argparse
import asyncio
import collections
import contextlib
import http
import json
import logging
import signal
import ssl
import subprocess
import sys
import tempfile
import time

import kosoku
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

# Whole groups of cases: framing, pings, reserved bits, opcodes, fragments, UTF-8, closes, limits, and one of
# each kind of compression.
GROUPS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
COMPRESSED = [f"12.{kind}.1" for kind in range(1, 6)] + [f"13.{kind}.1" for kind in range(1, 8)]

# How good a verdict is, of the messages and of the close; the least number is the best. What the standard
# leaves open is as good as what it asks for.
RANKS = {
    "OK": 0, "INFORMATIONAL": 0, "NON-STRICT": 1, "UNIMPLEMENTED": 2, "UNCLEAN": 3, "WRONG CODE": 3,
    "FAILED BY CLIENT": 3, "FAILED": 3, "ERROR": 4,
}
# Not strict is as good as strict here: it depends on whether the server has answered a message before it reads
# the fault behind it, so on how the bytes were cut on their way, which TCP leaves open.
CONFORMING = RANKS["NON-STRICT"]
# A verdict that is worse is looked at again, on both ways, because a busy machine may be too slow for a case. It
# fails if it is worse each time than the worst that the same case ever had directly.
REPEATS = 3
PATIENCE_S = 30


async def echo(connection):
    """Sends everything back, until the client has gone or broken a rule."""
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


def answer_heartbeat(connection, request):
    """What is no WebSocket is a heartbeat of the balancer."""
    if "Upgrade" not in request.headers:
        return connection.respond(http.HTTPStatus.OK, "")
    return None


@contextlib.asynccontextmanager
async def echo_server():
    quiet = logging.getLogger("quiet")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    async with serve(
        echo, "127.0.0.1", 0, max_size=None, process_request=answer_heartbeat, logger=quiet
    ) as server:
        yield port_of(server)


def port_of(server):
    return next(iter(server.sockets)).getsockname()[1]


@contextlib.asynccontextmanager
async def balancer(binary, upstream):
    """A balancer before that port; yields the ports of its clear and its TLS listener."""
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen(
            [binary, "--upstream", f"127.0.0.1:{upstream}", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
             "--tls-listen", "127.0.0.1:0", "--tls-self-signed", "--log-format", "json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
        )
        try:
            yield await ports_in(log.name, process)
            process.terminate()
            assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0, "the balancer ended badly"
        finally:
            process.kill()
            process.wait()


async def ports_in(log, process):
    """Waits until it listens and its replica is ready."""
    wanted = ["listening", "listening for TLS", "replica ready"]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with open(log) as lines:
            events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        found = {event["message"]: event for event in events if event["message"] in wanted}
        if len(found) == len(wanted):
            return [int(found[message]["address"].rsplit(":", 1)[1]) for message in wanted[:2]]
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the balancer does not come up:\n" + "\n".join(map(str, events)))
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def over_tls(target):
    """kosoku speaks no TLS: a listener whose connections go on to that port in TLS; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])

    async def connected(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection(
            "127.0.0.1", target, ssl=context, server_hostname="localhost"
        )
        # The end of one is the end of both; nothing that came before it is lost.
        ways = [asyncio.ensure_future(pump(reader, inner_writer)), asyncio.ensure_future(pump(inner_reader, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in [writer, inner_writer]:
            end.close()
        await asyncio.wait(ways)
        for end in [writer, inner_writer]:
            with contextlib.suppress(OSError):
                await end.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield port_of(server)


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def verdicts(port, cases, concurrency=4):
    """Runs cases against a port: the verdict of each, and of its close."""
    try:
        results = await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{port}", cases=cases, concurrency=concurrency)
    except kosoku.FailureError as failure:
        results = failure.results
    return {result.case_id: (result.behavior.value, result.behavior_close.value) for result in results}


def worse(verdict, reference):
    return any(RANKS[one] > max(RANKS[other], CONFORMING) for one, other in zip(verdict, reference))


async def compare(name, port, cases, direct, reference):
    """Runs all cases against a port; returns those that are worse, now and again, than directly."""
    began = time.monotonic()
    found = await verdicts(port, cases)
    missing = reference.keys() - found.keys()
    assert not missing, f"{name}: not run: {sorted(missing)}"
    show(name, found, began)
    suspects = [case for case in reference if worse(found[case], reference[case])]
    for _ in range(REPEATS):
        if not suspects:
            break
        again, directly = await verdicts(port, suspects, 1), await verdicts(direct, suspects, 1)
        for case in suspects:
            print(f"  again {case}: {again[case]}, directly {directly[case]}")
            reference[case] = tuple(max(pair, key=RANKS.get) for pair in zip(reference[case], directly[case]))
        suspects = [case for case in suspects if worse(again[case], reference[case])]
    for case in suspects:
        print(f"  FAILED {case}: {found[case]}, directly {reference[case]}")
    return suspects


def show(name, found, began):
    counts = collections.Counter(max(pair, key=RANKS.get) for pair in found.values())
    shown = ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts, key=RANKS.get))
    print(f"{name:<8} {len(found)} cases: {shown} ({time.monotonic() - began:.0f} s)", flush=True)


async def run(given):
    cases = None if given.all else GROUPS + COMPRESSED
    async with echo_server() as upstream:
        began = time.monotonic()
        reference = await verdicts(upstream, cases)
        show("directly", reference, began)
        unsaid = sorted(case for case, verdict in reference.items() if worse(verdict, ("NON-STRICT", "NON-STRICT")))
        if unsaid:
            print(f"  say nothing, because the echo server fails them: {', '.join(unsaid)}")
        # Else it is not the suite that was meant.
        assert len(reference) >= 300 and len(unsaid) < 30, "too few cases to say anything"
        async with balancer(given.binary, upstream) as (clear, tls), over_tls(tls) as relay:
            failed = await compare("ws", clear, cases, upstream, reference)
            failed += await compare("wss", relay, cases, upstream, reference)
    return failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("--all", action="store_true", help="also the cases that compress megabytes")
    given = arguments.parse_args()
    # So that the balancer ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(1 if asyncio.run(run(given)) else 0)


if __name__ == "__main__":
    main()
