"""The workloads, and what is aimed at: at most this ratio to the best peer, or at most so much, or at least."""

import math
import statistics

from . import load

CPU, TIME, MEMORY, FACTOR = "CPU µs per request", "µs", "KB", "factor"


class Workload:
    """What is done, in which unit it is measured, and the target."""

    def __init__(self, key, title, unit, target, turn=None, needs=None):
        self.key, self.title, self.unit, self.target, self.turn, self.needs = key, title, unit, target, turn, needs


ALL = [
    Workload("a", "small GET", CPU, 0.75, load.helper_load("small")),
    Workload("b", "64 KiB response", CPU, 0.95, load.helper_load("large")),
    Workload("c", "16 KiB POST", CPU, 0.90, load.helper_load("post")),
    Workload("d", "new connection for each request", CPU, 0.85, load.helper_load("close")),
    Workload("e", "HTTP/2 (h2c), 100 streams", CPU, 0.90, load.http2, "h2load"),
    Workload("f", "TLS 1.3, small GET", CPU, 1.0, load.tls, "wrk"),
    Workload("g-full", "TLS 1.3, full handshake and a GET", CPU, 1.0, load.handshakes(False)),
    Workload("g-resumed", "TLS 1.3, resumed handshake and a GET", CPU, 1.0, load.handshakes(True)),
    Workload("h", "WebSocket, frames of 125 bytes", CPU, 1.0, load.helper_load("echo")),
    Workload("p99", "99th percentile at 70 % of the best peer's rate", TIME, 1.0),
    Workload("idle", "memory for an idle connection", MEMORY, 3.0),
    Workload("idle-tls", "memory for an idle connection of TLS", MEMORY, 12.0),
    Workload("two", "two workers against one", FACTOR, 1.0),
]


def chosen(text):
    """The workloads of a comma-separated list; a letter stands for all that begin with it."""
    wanted = [word.strip() for word in text.split(",")]
    by_key = {workload.key: workload for workload in ALL}
    found = []
    for word in wanted:
        keys = [word] if word in by_key else [key for key in by_key if word and key.startswith(word + "-")]
        if not keys:
            raise ValueError(f"there is no workload {word!r}: {', '.join(by_key)}")
        found += keys
    return [workload for workload in ALL if workload.key in found]


def spread(values):
    """Median and quartiles."""
    if len(values) < 2:
        return (values[0], None, None) if values else (None, None, None)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def ratios(rounds, one, other):
    """Of each round in which both have a value."""
    return [found[one]["value"] / found[other]["value"] for found in rounds
            if one in found and other in found and found[other]["value"] > 0]


class Verdict:
    """How one of our builds fares in a workload: its own values, ratios to each peer, and whether the target is met."""

    def __init__(self, workload, rounds, ours, peers):
        self.own = spread([found[ours]["value"] for found in rounds if ours in found])
        self.to = {peer: spread(values) for peer in peers if (values := ratios(rounds, ours, peer))}
        medians = [figures[0] for figures in self.to.values()]
        if workload.unit == MEMORY:
            self.compared = self.own[0]
        elif workload.unit == FACTOR:
            self.compared = min(medians, default=None)
        else:
            self.compared = max(medians, default=None)
        self.is_met = None
        if self.compared is not None:
            above = workload.unit == FACTOR
            self.is_met = self.compared >= workload.target if above else self.compared <= workload.target


def rounded(value, workload, digits=2):
    """Two digits behind the point, never in favour of what is measured."""
    if value is None:
        return "–"
    scale = 10 ** digits
    # What is below a millionth of a digit is the error of the division.
    scaled = round(value * scale, 6)
    return f"{(math.floor if workload.unit == FACTOR else math.ceil)(scaled) / scale:.{digits}f}"
