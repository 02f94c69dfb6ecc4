"""Calls of gRPC through a balancer, in front of a server of this process: see grpc.sh."""

import concurrent.futures
import json
import subprocess
import sys
import threading

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

PATIENCE_S = 30
MANY = 2000
LARGE = b"x" * 1_000_000
# Metadata of 48 KB, which the default limit of many proxies cuts off.
TRAILER = "t" * 48_000
# A call that hung was told that its client is gone.
HUNG_UP = threading.Event()
LIMITS = [("grpc.max_metadata_size", 128 * 1024), ("grpc.max_receive_message_length", 8 << 20)]


class Echo(grpc.GenericRpcHandler):
    """Sends back what it gets. Its messages are bytes: no call needs a schema."""

    def service(self, details):
        make, behaviour = {
            "/test.Echo/Unary": (grpc.unary_unary_rpc_method_handler, self.unary),
            "/test.Echo/Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
            "/test.Echo/Hang": (grpc.unary_unary_rpc_method_handler, self.hang),
            "/test.Echo/Repeat": (grpc.unary_stream_rpc_method_handler, self.repeat),
            "/test.Echo/Count": (grpc.stream_unary_rpc_method_handler, self.count),
            "/test.Echo/Chat": (grpc.stream_stream_rpc_method_handler, self.chat),
        }.get(details.method, (None, None))
        return make(behaviour) if make else None

    @staticmethod
    def unary(message, context):
        context.set_trailing_metadata([("x-trailer", TRAILER)])
        return message

    @staticmethod
    def fail(_, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not ready: ä")

    @staticmethod
    def hang(message, context):
        # Until its client is gone, which the balancer has to tell.
        gone = threading.Event()
        context.add_callback(gone.set)
        if gone.wait(PATIENCE_S):
            HUNG_UP.set()
        return message

    @staticmethod
    def repeat(message, _):
        for number in range(MANY):
            yield b"%d %s" % (number, message)

    @staticmethod
    def count(messages, _):
        return b"%d" % sum(1 for _ in messages)

    @staticmethod
    def chat(messages, _):
        yield from messages


def start_server():
    """A server that is healthy; returns it, its port and its health service."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=LIMITS)
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers([Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port, servicer


def start_balancer(binary, port):
    """A balancer before it; returns its process and its address."""
    balancer = subprocess.Popen(
        [binary, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{port}",
         "--upstream-http", "h2", "--health", "grpc", "--max-header-bytes", "131072",
         "--max-response-header-bytes", "131072", "--log-format", "json"],
        stderr=subprocess.PIPE, text=True)
    for line in balancer.stderr:
        event = json.loads(line)
        if event["message"] == "listening":
            return balancer, event["address"]
    sys.exit("the balancer does not start")


def failure(call, tries=1):
    """The error of a call that has to fail, by the last of so many tries."""
    for _ in range(tries):
        try:
            call()
        except grpc.RpcError as error:
            return error
    sys.exit("a call that has to fail has not")


def check(channel):
    """Makes the calls; returns how many there were."""
    late = {"timeout": PATIENCE_S}
    assert channel.unary_unary("/test.Echo/Unary")(b"", **late) == b""
    unary = channel.unary_unary("/test.Echo/Unary")
    message, call = unary.with_call(LARGE, metadata=[("x-key", "1")], **late)
    assert message == LARGE and dict(call.trailing_metadata())["x-trailer"] == TRAILER
    repeated = list(channel.unary_stream("/test.Echo/Repeat")(b"a", **late))
    assert repeated == [b"%d a" % number for number in range(MANY)]
    assert channel.stream_unary("/test.Echo/Count")(iter([b"m"] * MANY), **late) == b"%d" % MANY
    spoken = [b"%d" % number for number in range(MANY)]
    assert list(channel.stream_stream("/test.Echo/Chat")(iter(spoken), **late)) == spoken
    error = failure(lambda: channel.unary_unary("/test.Echo/Fail")(b"", **late))
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not ready: ä"), error
    error = failure(lambda: channel.unary_unary("/test.Echo/None")(b"", **late))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    error = failure(lambda: channel.unary_unary("/test.Echo/Hang")(b"", timeout=0.5))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert HUNG_UP.wait(PATIENCE_S), "the server was not told that its client is gone"
    futures = [unary.future(b"%d" % number, **late) for number in range(MANY)]
    assert all(future.result() == b"%d" % number for number, future in enumerate(futures))
    return 8 + len(futures)


def main():
    server, port, servicer = start_server()
    balancer, address = start_balancer(sys.argv[1], port)
    try:
        with grpc.insecure_channel(address, options=LIMITS) as channel:
            grpc.channel_ready_future(channel).result(PATIENCE_S)
            print(f"gRPC: {check(channel)} calls as they should be")
            # Its heartbeats say so, and then nobody is there to ask.
            servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
            for line in balancer.stderr:
                if "ejected" in line:
                    break
            # The line comes just before requests are told.
            error = failure(lambda: channel.unary_unary("/test.Echo/Unary")(b"", timeout=PATIENCE_S), MANY)
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            print(f"gRPC: not serving is {error.code().name}: {error.details()}")
    finally:
        balancer.terminate()
        balancer.wait(PATIENCE_S)
        server.stop(0)


main()
