#!/usr/bin/env python3
"""Runs a suite of scripts/conformance.sh with every connection to the balancer in TLS.

over_tls.py SUITE.py --proxy HOST:PORT [OPTION ...]
"""

import pathlib
import runpy
import socket
import ssl
import sys


class HalfClosing(ssl.SSLSocket):
    """Says that it sends no more as TLS does, and goes on reading."""

    def shutdown(self, how):
        if how != socket.SHUT_WR:
            super().shutdown(how)
            return
        timeout = self.gettimeout()
        self.settimeout(0)
        try:
            # It is sent at once. The answer to it comes when the other side ends too.
            self._sslobj.shutdown()
        except ssl.SSLWantReadError:
            pass
        self.settimeout(timeout)


def main():
    suite = pathlib.Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(suite.parent))
    import rlib

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = HalfClosing
    plain = rlib.connect

    def connect(address, *options, **named):
        stream = plain(address, *options, **named)
        return context.wrap_socket(stream)

    rlib.connect = connect
    sys.argv = [str(suite), *sys.argv[2:]]
    runpy.run_path(str(suite), run_name="__main__")


main()
