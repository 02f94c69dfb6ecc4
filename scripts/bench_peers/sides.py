"""What is compared: how each balancer is configured at its best, started and stopped.

All have the same origins, one worker unless told otherwise, and choose the origin by the same header field,
`X-Request-Id`, consistently. The peers add no header fields, check no health and write no log; ringherd runs with
what its defaults have on.
"""

import contextlib
import http.client
import os
import pathlib
import re
import subprocess
import tempfile
import time

from . import processes

TRIES_S = 0.05
LONG_S = 3600
# Room for a response of 64 KiB and its head.
BUFFER_KIB = 80
CONNECTIONS = 1_024


class Unusable(Exception):
    """A side that cannot take part, and why."""


class Side:
    """A running balancer."""

    def __init__(self, name, process, ports, folder):
        self.name, self.process, self.ports, self.folder = name, process, ports, folder

    @property
    def pid(self):
        return self.process.pid


class Setting:
    """What the configuration of a side is made from."""

    def __init__(self, folder, upstreams, workers, connections, certificate):
        self.folder, self.upstreams, self.workers, self.connections = folder, upstreams, workers, connections
        self.certificate = certificate
        self.ports = {name: processes.free_port() for name in ["plain", "h2c", "tls"]}

    def write(self, name, text):
        path = pathlib.Path(self.folder, name)
        path.write_text(text)
        return str(path)


def ringherd(program, setting, extra):
    # Both versions of HTTP on one port.
    setting.ports["h2c"] = setting.ports["plain"]
    command = [
        program, "--runtime", "fixed", "--workers", str(setting.workers),
        "--listen", f"127.0.0.1:{setting.ports['plain']}", "--tls-listen", f"127.0.0.1:{setting.ports['tls']}",
        "--tls-certificate", f"{setting.certificate}/cert.pem", "--tls-key", f"{setting.certificate}/key.pem",
        "--admin-listen", "127.0.0.1:0", "--keep-alive", "1h",
        "--max-connections", str(max(10_000, setting.connections)),
    ]
    for port in setting.upstreams:
        command += ["--upstream", f"127.0.0.1:{port}"]
    return command + extra


def nginx(program, setting, _):
    folder, ports = setting.folder, setting.ports
    version = tuple(map(int, re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", version_of("nginx", program)).groups()))
    # `listen … http2` is deprecated from there on.
    h2c, h2c_on = ("", "http2 on;") if version >= (1, 25, 1) else ("http2", "")
    reuse = "reuseport" if setting.workers > 1 else ""
    servers = " ".join(f"server 127.0.0.1:{port};" for port in setting.upstreams)
    config = setting.write("nginx.conf", f"""
daemon off;
worker_processes {setting.workers};
pid {folder}/nginx.pid;
error_log {folder}/log warn;
worker_rlimit_nofile {2 * setting.connections + 200};
events {{ worker_connections {2 * setting.connections + 100}; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_timeout {LONG_S};
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    ssl_certificate {setting.certificate}/cert.pem;
    ssl_certificate_key {setting.certificate}/key.pem;
    ssl_protocols TLSv1.3;
    upstream origins {{
        hash $http_x_request_id consistent;
        {servers}
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{ports['plain']} backlog=4096 deferred {reuse};
        listen 127.0.0.1:{ports['tls']} ssl backlog=4096 deferred {reuse};
        location / {{
            proxy_pass http://origins;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffer_size {BUFFER_KIB}k;
            proxy_buffers 4 {BUFFER_KIB}k;
            proxy_busy_buffers_size {2 * BUFFER_KIB}k;
        }}
        location /echo {{
            proxy_pass http://origins;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
    server {{
        listen 127.0.0.1:{ports['h2c']} {h2c} backlog=4096 deferred {reuse};
        {h2c_on}
        location / {{
            proxy_pass http://origins;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
""")
    return [program, "-c", config, "-e", f"{folder}/log"]


def haproxy(program, setting, _):
    folder, ports = setting.folder, setting.ports
    key = pathlib.Path(setting.certificate, "key.pem").read_text()
    both = setting.write("both.pem", pathlib.Path(setting.certificate, "cert.pem").read_text() + key)
    os.chmod(both, 0o600)
    servers = "\n".join(f"    server o{port} 127.0.0.1:{port}" for port in setting.upstreams)
    config = setting.write("haproxy.cfg", f"""
global
    nbthread {setting.workers}
    maxconn {setting.connections + 100}
    tune.bufsize {BUFFER_KIB * 1024}
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    option http-no-delay
    http-reuse always
    timeout client {LONG_S}s
    timeout http-keep-alive {LONG_S}s
    timeout tunnel {LONG_S}s
    timeout server {LONG_S}s
    timeout connect 10s
frontend all
    bind 127.0.0.1:{ports['plain']} backlog 4096 defer-accept
    bind 127.0.0.1:{ports['h2c']} proto h2 backlog 4096 defer-accept
    bind 127.0.0.1:{ports['tls']} ssl crt {both} backlog 4096 defer-accept
    default_backend origins
backend origins
    balance hash req.hdr(x-request-id)
    hash-type consistent
{servers}
""")
    return [program, "-db", "-f", config]


def caddy(program, setting, _):
    # Both versions of HTTP on one port.
    setting.ports["h2c"] = setting.ports["plain"]
    upstreams = " ".join(f"127.0.0.1:{port}" for port in setting.upstreams)
    handler = f"""
    bind 127.0.0.1
    reverse_proxy {upstreams} {{
        lb_policy header X-Request-Id
        flush_interval -1
        transport http {{
            keepalive {LONG_S}s
            keepalive_idle_conns_per_host 512
            compression off
        }}
    }}"""
    config = setting.write("Caddyfile", f"""{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
    servers {{
        protocols h1 h2 h2c
        timeouts {{
            idle {LONG_S}s
        }}
    }}
}}
http://:{setting.ports['plain']} {{{handler}
}}
https://:{setting.ports['tls']} {{
    tls {setting.certificate}/cert.pem {setting.certificate}/key.pem
{handler}
}}
""")
    return [program, "run", "--adapter", "caddyfile", "--config", config]


def program(path, setting, _):
    """Anything else, such as a build of Pingora: it is told what to do in its environment."""
    return [path]


KINDS = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy}
# How each is called in tables.
TITLES = {"nginx": "nginx", "haproxy": "HAProxy", "caddy": "Caddy"}
PACKAGES = {"nginx": "nginx", "haproxy": "haproxy"}
VERSION_FLAGS = {"nginx": "-v", "haproxy": "-v", "caddy": "version", "ringherd": "--version"}


def version_of(kind, program):
    """The first line that a program says of its version, in short."""
    if kind not in VERSION_FLAGS:
        return kind
    said = subprocess.run([program, VERSION_FLAGS[kind]], capture_output=True, text=True, check=False)
    line = (said.stdout + said.stderr).strip().split("\n")[0]
    if kind == "nginx" and "nginx/" not in line:
        raise SystemExit(f"{program} is no nginx: {line}")
    return re.sub(r"^(nginx version: |HAProxy version )", "", line).split(" 20")[0].split(" - ")[0]


class Contender:
    """A balancer that can be started: its name in tables, what it is, its program, and options of its own."""

    def __init__(self, name, kind, program_path, extra=(), is_ours=False):
        self.name, self.kind, self.program, self.extra, self.is_ours = name, kind, program_path, list(extra), is_ours
        self.version = version_of(kind, program_path)

    @contextlib.contextmanager
    def running(self, upstreams, certificate, cores, workers=1, connections=CONNECTIONS):
        """Starts it and waits until it answers; yields a `Side`."""
        make = ringherd if self.is_ours else KINDS.get(self.kind, program)
        with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
            # A peer may run as another user.
            os.chmod(folder, 0o755)
            setting = Setting(folder, upstreams, workers, connections, certificate)
            command = make(self.program, setting, self.extra)
            with open(f"{folder}/output", "w") as output:
                process = processes.start(
                    command, cores, stdout=output, stderr=output, env=environment(setting, self.is_ours))
            try:
                side = Side(self.name, process, setting.ports, folder)
                await_answer(side)
                yield side
            finally:
                processes.stop(process)


def environment(setting, is_ours):
    """That of this process, and what the programs of `program` have to know. No variable changes a ringherd."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RINGHERD_")}
    if is_ours:
        return inherited
    told = {f"BENCH_{name.upper()}": f"127.0.0.1:{port}" for name, port in setting.ports.items()}
    told["BENCH_ORIGINS"] = ",".join(f"127.0.0.1:{port}" for port in setting.upstreams)
    told["BENCH_WORKERS"] = str(setting.workers)
    told["BENCH_CERTIFICATE"] = f"{setting.certificate}/cert.pem"
    told["BENCH_KEY"] = f"{setting.certificate}/key.pem"
    return {**inherited, **told, "HOME": setting.folder}


def await_answer(side):
    deadline = time.monotonic() + processes.PATIENCE_S
    last = "no answer"
    while time.monotonic() < deadline and side.process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", side.ports["plain"], timeout=5)
        try:
            connection.request("GET", "/small", headers={"Host": "service.example"})
            status = connection.getresponse().status
            if status == 200:
                return
            last = f"status {status}"
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        finally:
            connection.close()
        time.sleep(TRIES_S)
    if side.process.poll() is not None:
        last = f"it ended with {side.process.returncode}"
    raise Unusable(f"{side.name} does not come up: {last}{said(side)}")


def said(side):
    """The last lines of what a side wrote, for an error message."""
    lines = []
    for name in ["output", "log"]:
        with contextlib.suppress(OSError):
            lines += pathlib.Path(side.folder, name).read_text(errors="replace").splitlines()
    return "".join(f"\n  {line[:300]}" for line in lines[-8:])
