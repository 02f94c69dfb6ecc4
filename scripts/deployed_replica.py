"""The replica that scripts/deploys.py deploys: as good or bad as its REVISION says."""

import contextlib
import fcntl
import os
import re
import socket
import sys
import threading
import time


class Replica:
    """A server with a thread for each connection."""

    def __init__(self):
        self.revision = os.environ["REVISION"]
        if self.revision == "absent":
            sys.exit("this revision does not start")
        self.name = f"{self.revision} {os.environ['SERVER_NUMBER']}".encode()
        self.tally = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND)
        self.take_lock()
        self.delay = 0.05 if self.revision == "slow" else 0.005
        if self.revision == "crashing":
            threading.Timer(3, os._exit, [7]).start()

    def take_lock(self):
        """Holds what only one replica of a number may have, until this process is gone."""
        if path := os.environ.get("LOCK"):
            self.lock = os.open(f"{path}-{os.environ['SERVER_NUMBER']}", os.O_WRONLY | os.O_CREAT)
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.write(self.tally, b"contended\n")
                sys.exit("another replica of this number holds its lock")

    def run(self):
        listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=128)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        buffer = b""
        with contextlib.suppress(OSError), connection:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = connection.recv(4096)
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                length = re.search(rb"content-length: *(\d+)", head, re.I)
                length = int(length.group(1)) if length else 0
                while len(buffer) < length:
                    buffer += connection.recv(4096)
                body, buffer = buffer[:length], buffer[length:]
                status = self.work(head, body)
                connection.sendall(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(self.name), self.name))

    def work(self, head, body):
        if head.startswith(b"GET /heartbeat "):
            return 200
        time.sleep(self.delay)
        if head.startswith(b"POST "):
            # One write, at the end of the file, as those of the other replicas.
            os.write(self.tally, body + b"\n")
        while self.revision == "hanging":
            time.sleep(3600)
        return 500 if self.revision == "failing" else 200


if __name__ == "__main__":
    Replica().run()
