"""The command line of scripts/bench-peers."""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request

from . import idle, load, sides, workloads
from .report import ROOT, Report
from .rounds import Bench, Cores

ORIGINS = 3
TOOLS = {"wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl", "cc": "gcc libc6-dev"}
DEFAULT_PEERS = ["nginx", "haproxy", "caddy"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def named(text):
    """NAME=PATH, or a PATH."""
    name, equals, path = text.partition("=")
    return (name, path) if equals else (None, text)


def arguments(description):
    parser = argparse.ArgumentParser(
        prog="scripts/bench-peers", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", action="append", default=[], metavar="[LABEL=]PATH",
                        help="a ringherd to measure; repeated with labels, builds are compared. Without it one is "
                             "built with the profile dist")
    parser.add_argument("--trained", action="store_true",
                        help="measure a build of scripts/build-dist as well, which takes two builds more")
    parser.add_argument("--io", action="append", default=[], metavar="MODE",
                        help="start ringherd with --io MODE; repeated, modes are compared")
    parser.add_argument("--peers", default=None, metavar="NAME,...",
                        help="nginx, haproxy, caddy; none for none (default: those that are installed)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH",
                        help="the program of a peer, or another version of one: nginx-1.31=PATH is an nginx. Any other "
                             "NAME is a program that does what BENCH_PLAIN, BENCH_H2C, BENCH_TLS (where to listen), "
                             "BENCH_ORIGINS, BENCH_WORKERS, BENCH_CERTIFICATE and BENCH_KEY say")
    parser.add_argument("--workloads", default=",".join(workload.key for workload in workloads.ALL), metavar="KEY,...",
                        help="%(default)s")
    parser.add_argument("--rounds", type=int, help="7, with --quick 3")
    parser.add_argument("--seconds", type=float, help="of a turn: 3, with --quick 0.5")
    parser.add_argument("--idle-connections", type=int, help="9000, with --quick 1000")
    parser.add_argument("--quick", action="store_true", help="all within two minutes, to see whether it works")
    parser.add_argument("--out", metavar="FOLDER", help="where results.json and charts go (target/bench-peers)")
    parser.add_argument("--update", action="store_true",
                        help="renew BENCHMARKS.md and docs/benchmarks; needs all workloads and one ringherd")
    given = parser.parse_args()
    given.rounds = given.rounds if given.rounds is not None else 3 if given.quick else 7
    given.seconds = given.seconds if given.seconds is not None else 0.5 if given.quick else 3.0
    given.idle_connections = (given.idle_connections if given.idle_connections is not None
                              else 1_000 if given.quick else 9_000)
    if given.rounds < 1 or not 0.1 <= given.seconds <= 600 or not 1 <= given.idle_connections <= 100_000:
        parser.error("--rounds must be 1 or more, --seconds 0.1 to 600, --idle-connections 1 to 100000")
    try:
        given.chosen = workloads.chosen(given.workloads)
    except ValueError as error:
        parser.error(f"--workloads: {error}")
    if given.update and (len(given.chosen) < len(workloads.ALL) or max(len(given.binary), len(given.io)) > 1):
        parser.error("--update needs all workloads, and one ringherd or that and the --trained one, because a document "
                     "is of one run")
    return parser, given


def target_folder():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def trained():
    script = ROOT / "scripts" / "build-dist"
    made = subprocess.run([script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode:
        sys.exit("ringherd cannot be trained; leave out --trained, or name a build with --binary")
    return made.stdout.splitlines()[-1]


def build():
    say("building ringherd with the profile dist, which takes minutes the first time")
    if subprocess.run(["cargo", "build", "--profile", "dist", "--locked"], cwd=ROOT, check=False).returncode:
        sys.exit("ringherd cannot be built; name a build with --binary")
    # A relative folder is meant from where cargo ran.
    return str(ROOT / target_folder() / "dist" / "ringherd")


def runnable(parser, option, path):
    found = shutil.which(path)
    if not found:
        parser.error(f"{option}: {path} is no program that can be run")
    return os.path.abspath(found)


def our_contenders(parser, given):
    programs = [(label, runnable(parser, "--binary", path)) for label, path in map(named, given.binary)]
    labels = [label for label, _ in programs]
    if len(programs) > 1 and (None in labels or len(set(labels)) < len(labels)):
        parser.error("--binary: several of them need a label each, such as --binary old=PATH --binary new=PATH")
    programs = programs or [(None, build())]
    if given.trained:
        programs.append(("trained", trained()))
    made = []
    for label, path in programs:
        for mode in given.io or [None]:
            words = [label or "ringherd"] + ([mode] if len(given.io) > 1 else [])
            extra = ["--io", mode] if mode else []
            made.append(sides.Contender(" ".join(words), "ringherd", path, extra, is_ours=True))
    return made


def peers(parser, given):
    """Those that take part. One that was not asked for by name is left out without an error."""
    paths = []
    for text in given.peer:
        name, path = named(text)
        if not name:
            parser.error(f"--peer: NAME=PATH is needed, not {text!r}")
        paths.append((name, runnable(parser, "--peer", path)))
    asked = [] if given.peers == "none" else given.peers.split(",") if given.peers else DEFAULT_PEERS
    taken = {name for name, _ in paths}
    for kind in asked:
        if kind in taken:
            continue
        if kind not in sides.KINDS:
            parser.error(f"--peers: there is no peer {kind!r}: {', '.join(sides.KINDS)}, none; others with --peer")
        if found := shutil.which(kind):
            paths.append((kind, found))
        elif kind in sides.PACKAGES:
            say(f"skipped: {kind} is not installed: apt-get install --no-install-recommends {sides.PACKAGES[kind]}")
        elif given.peers:
            say(f"skipped: {kind} is not installed; name its program with --peer {kind}=PATH")
    made = []
    for name, path in paths:
        kind = next((kind for kind in sides.KINDS if name == kind or name.startswith(kind + "-")), name)
        made.append(sides.Contender(sides.TITLES.get(name, name), kind, path))
    return made


def with_tools(chosen):
    """The workloads whose load generator is there."""
    for tool in ["cc", "openssl"]:
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed: apt-get install --no-install-recommends {TOOLS[tool]}")
    kept = []
    for workload in chosen:
        if workload.needs and not shutil.which(workload.needs):
            say(f"skipped: workload {workload.key}, because {workload.needs} is not installed: "
                f"apt-get install --no-install-recommends {TOOLS[workload.needs]}")
        else:
            kept.append(workload)
    if not kept:
        sys.exit("no workload is left")
    return kept


def certificate(folder):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{folder}/key.pem",
         "-out", f"{folder}/cert.pem"], capture_output=True, text=True, check=False)
    if made.returncode:
        sys.exit(f"openssl makes no certificate:\n{made.stderr}")


def expected_body(port):
    """The small body, as an origin sends it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/small", timeout=10) as answer:
        return answer.read()


def usable(contenders, upstreams, cert, cores):
    """Those that come up. One of ours that does not is an error."""
    kept = []
    for contender in contenders:
        try:
            with contender.running(upstreams, cert, cores.one):
                kept.append(contender)
        except sides.Unusable as reason:
            if contender.is_ours:
                sys.exit(str(reason))
            say(f"skipped: {reason}")
    return kept


def measure(parser, given):
    """Returns the report of a run."""
    cores = Cores(sorted(os.sched_getaffinity(0)))
    given.load_before = os.getloadavg()[0]
    # What is wrong with the command is said before a build of minutes.
    others, chosen = peers(parser, given), with_tools(given.chosen)
    contenders = our_contenders(parser, given) + others
    names = [contender.name for contender in contenders]
    if len(set(names)) < len(names):
        parser.error(f"two sides have the same name: {', '.join(names)}")
    idle.raise_limit(given.idle_connections if any(w.unit == workloads.MEMORY for w in chosen) else sides.CONNECTIONS)
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        os.chmod(folder, 0o755)
        certificate(folder)
        helper = load.build_helper(folder)
        with load.origins(helper, ORIGINS, cores.load) as upstreams:
            tools = load.Tools(helper, cores.load, folder, expected_body(upstreams[0]))
            contenders = usable(contenders, upstreams, folder, cores)
            bench = Bench(contenders, cores, tools, upstreams, folder, given)
            bench.run(chosen)
            return Report(bench, chosen, cores, given)


def main(description):
    parser, given = arguments(description)
    # So that everything it started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        report = measure(parser, given)
    except KeyboardInterrupt:
        sys.exit(130)
    report.write(given.out or ROOT / target_folder() / "bench-peers")
    print(report.markdown(), end="")
    if given.update:
        report.write(ROOT / "docs" / "benchmarks")
        report.renew_document()
    sys.exit(1 if report.bench.failures else 0)
