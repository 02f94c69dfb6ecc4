"""A balancer that the scripts beside it start, and its admin API."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE_S = 120


def stop_in_order():
    """SIGTERM ends the script as Ctrl-C does: what it has started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Balancer:
    """A running balancer with this file as its configuration, on free ports."""

    def __init__(self, binary, config, options=()):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RINGHERD_")}
        self.process = subprocess.Popen(
            [binary, "serve", "--config", config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
             "--log-format", "json", *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean)
        addresses, said = {}, []
        for line in self.process.stderr:
            said.append(line)
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                addresses[event["message"]] = event.get("address")
            if "listening" in addresses:
                break
        else:
            self.stop()
            raise SystemExit("the balancer does not start: " + "".join(said))
        threading.Thread(target=self.read_log, daemon=True).start()
        host, port = addresses["listening"].rsplit(":", 1)
        self.public = (host, int(port))
        self.admin = http.client.HTTPConnection(addresses["admin API is up"], timeout=PATIENCE_S)

    def read_log(self):
        for _ in self.process.stderr:
            pass

    def text(self, path):
        return self.exchange("GET", path)

    def ask(self, method, path, body=None):
        return json.loads(self.exchange(method, path, body))

    def exchange(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.admin.request(method, path, json.dumps(body) if body else None, headers)
        response = self.admin.getresponse()
        answer = response.read().decode()
        if response.status >= 300:
            raise SystemExit(f"{method} {path} is answered with {response.status}: {answer}")
        return answer

    def until(self, what, is_so):
        """The first answer to `is_so` that is true."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = is_so()
            if found:
                return found
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"waited in vain: {what}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
