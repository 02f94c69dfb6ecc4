"""What the browser test stands on: balancers as child processes, requests to them, load, a browser.

Knows neither the page nor what is tested on it.
"""

import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import queue
import random
import struct
import subprocess
import threading
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

# What concerns one connection only, and what is made anew for the next.
HOP_BY_HOP = ["host", "connection", "content-length", "transfer-encoding", "keep-alive"]

# The opcode of a WebSocket's last frame.
CLOSE = 8

# Longest wait for anything that is to happen; only a failing test waits that long.
PATIENCE = 30


def wait_until(what, ask):
    """Asks again and again until there is an answer, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.02)


class Balancer:
    """A running balancer. Its replicas end with it, however it ends."""

    def __init__(self, binary, *args, token=None, public="127.0.0.1:0", admin="127.0.0.1:0"):
        self.token = token
        environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
        if token:
            environment["RINGHERD_ADMIN_TOKEN"] = token
        command = [binary, "--listen", public, "--admin-listen", admin, "--log-format", "json", *args]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace",
        )
        self.log = queue.Queue()
        threading.Thread(target=self._read_log, daemon=True).start()
        self.admin = self._address_in("admin API is up")
        # By name, which its certificate is for.
        self.secure = None
        if "--tls-listen" in args:
            self.secure = self._address_in("listening for TLS").replace("127.0.0.1", "localhost")
        self.public = self._address_in("listening")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.put(line)
        self.log.put(None)

    def _address_in(self, message):
        seen = []
        while (line := self.log.get(timeout=PATIENCE)) is not None:
            seen.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == message:
                return event["address"]
        raise AssertionError(f"no log event '{message}' came; there were: {''.join(seen)}")

    def stop(self):
        """Has it stop in order, and waits for that."""
        self.process.terminate()
        assert self.process.wait(timeout=PATIENCE) == 0, "the balancer ended badly"

    def ask(self, method, path, body=None):
        """A request to the admin API: status and JSON."""
        status, _, text = self.raw(self.admin, method, path, body)
        return status, json.loads(text)

    def raw(self, address, method, path, body=None, headers=None):
        """A request: status, headers (names in lower case) and text."""
        headers = dict(headers or {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, names, answer.read().decode()
        finally:
            connection.close()

    def routed(self, request):
        """The answer to a request with this id."""
        return self.raw(self.public, "GET", "/home", headers={"X-Request-Id": str(request)})[2]

    def replicas(self):
        """Those of `GET /ring`."""
        return self.ask("GET", "/ring")[1]["replicas"]


class Load:
    """Requests with random ids over a few connections, until it is left. Failures are the
    balancer's matter and tested elsewhere."""

    def __init__(self, address, rate, connections=8, path="/home"):
        self.address = address
        self.path = path
        self.ended = threading.Event()
        self.began = time.monotonic()
        pause = connections / rate
        self.threads = [
            threading.Thread(target=self._send, args=(pause,), daemon=True) for _ in range(connections)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _send(self, pause):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        due = time.monotonic() + random.random() * pause
        while not self.ended.wait(max(0, due - time.monotonic())):
            try:
                connection.request("GET", self.path, headers={"X-Request-Id": str(random.getrandbits(60))})
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
            due = max(due + pause * random.uniform(0.5, 1.5), time.monotonic() - 1)


class Site:
    """A server in a thread of this process, for as long as it is entered. Who inherits makes `server`."""

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.socket.close()


class Edge(Site):
    """A reverse proxy that serves what is at `target` below a path, and asks it with its own name as the
    host, as nginx does by default. For pages and streams of events, not for load."""

    def __init__(self, prefix):
        edge = self
        self.target = None

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request, passed on; the answer ends with the connection."""

            def pass_on(self):
                inner = self.path[len(prefix):] or "/"
                if not self.path.startswith(prefix) or not inner.startswith("/"):
                    self.send_error(404)
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                connection = http.client.HTTPConnection(edge.target, timeout=PATIENCE)
                connection.request(self.command, inner, body or None, headers)
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                self.end_headers()
                # A page that is left, and a balancer that ends, break streams off.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    while piece := answer.read1(65536):
                        self.wfile.write(piece)
                connection.close()

            do_GET = do_POST = do_PUT = do_DELETE = pass_on

            def log_message(self, *_):
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:{}".format(self.server.server_address[1])


class EchoSite(Site):
    """A server with a page that sends back what it gets: bodies, and messages of a WebSocket."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            """Requests of a connection."""

            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.headers.get("Upgrade", "").lower() == "websocket":
                    self.talk()
                else:
                    self.answer("text/html", b"<!doctype html><title>echo</title><link rel=icon href=data:,>")

            def do_POST(self):
                self.answer("application/octet-stream", self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, kind, body):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Seen-Proto", self.headers.get("X-Forwarded-Proto", ""))
                self.end_headers()
                self.wfile.write(body)

            def talk(self):
                key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
                self.end_headers()
                self.close_connection = True
                while self.echo_frame() != CLOSE:
                    pass

            def echo_frame(self):
                """Sends a frame back without its mask; returns its opcode. At the end of the stream it is a close."""
                head = self.rfile.read(2)
                if len(head) < 2:
                    return CLOSE
                length = head[1] & 127
                if length >= 126:
                    kind = "!H" if length == 126 else "!Q"
                    (length,) = struct.unpack(kind, self.rfile.read(struct.calcsize(kind)))
                mask, masked = self.rfile.read(4), self.rfile.read(length)
                payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))
                extended = bytes([length]) if length < 126 else (
                    struct.pack("!BH", 126, length) if length < 65536 else struct.pack("!BQ", 127, length))
                self.wfile.write(head[:1] + extended + payload)
                return head[0] & 15

            def log_message(self, *_):
                """Says nothing."""

        # With the backlog of five that is the default, the kernel resets some of many at a time.
        server = type("Server", (http.server.ThreadingHTTPServer,), {"request_queue_size": 512})
        self.server = server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:{}".format(self.server.server_address[1])


class Browser:
    """A headless Chromium, and words for what a user does with it."""

    def __init__(self, screenshots):
        options = webdriver.ChromeOptions()
        options.binary_location = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        for argument in ["--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars"]:
            options.add_argument(argument)
        if os.geteuid() == 0:
            # Chromium's sandbox refuses to run as root, as in a container.
            options.add_argument("--no-sandbox")
        # Those of --tls-self-signed.
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_page_load_timeout(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)
        self.screenshots = screenshots
        screenshots.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def wait(self, what, ask, patience=PATIENCE):
        """Waits for `ask` to have an answer, and returns it."""
        return WebDriverWait(self.driver, patience, 0.05).until(lambda _: ask(), f"waited in vain: {what}")

    def size(self, width, height, dark=False):
        """Makes it a screen of this size, in the dark or not."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def run(self, script, *args):
        """Runs a script in the page."""
        return self.driver.execute_script(script, *args)

    def console(self):
        """What the console has said since the last call."""
        return [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser")]

    def picture(self, name):
        """Keeps what is on the screen."""
        self.driver.save_screenshot(str(self.screenshots / f"{name}.png"))
