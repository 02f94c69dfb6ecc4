"""A small server for thousands of connections, which the scripts beside it put behind a balancer."""

import contextlib
import select
import socket

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def serve(listener):
    """Answers every request head with 200, on connections that stay open. Never returns."""
    poll = select.epoll()
    listener.setblocking(False)
    poll.register(listener, select.EPOLLIN)
    open_ = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        connection, _ = listener.accept()
                        connection.setblocking(False)
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        open_[connection.fileno()] = connection
                        poll.register(connection, select.EPOLLIN)
                continue
            connection = open_[fd]
            try:
                data = connection.recv(4096)
                if data.endswith(b"\r\n\r\n"):
                    connection.send(RESPONSE)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data or b"connection: close" in data.lower():
                connection.close()
                del open_[fd]
