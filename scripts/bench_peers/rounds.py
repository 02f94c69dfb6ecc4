"""Rounds: every side has its turn in each, and what is compared are turns of the same round."""

import contextlib
import statistics
import sys

from . import idle, processes
from .load import CONNECTIONS, Failed, helper_load
from .workloads import CPU, FACTOR, MEMORY, TIME

MICRO = 1e6
PART_OF_TOP_RATE = 0.7
# Below this part of a core in use, the load or other programs of the machine limited a turn.
BUSY = 0.9
MEMORY_ROUNDS = 3


class Cores:
    """Which cores are whose: one for the balancers, the others for load and origins."""

    def __init__(self, allowed):
        if len(allowed) < 2:
            raise SystemExit("two cores are needed: one for the balancers, one for load and origins")
        self.one, self.load = {allowed[0]}, set(allowed[1:])
        self.two = set(allowed[:2])
        # Otherwise two workers share their cores with the load, and their rate says nothing.
        self.is_two_apart = len(allowed) >= 4
        self.load_of_two = set(allowed[2:]) if self.is_two_apart else set(allowed)


class Bench:
    """All sides and what they are measured with. Results are collected in `results` and `failures`."""

    def __init__(self, contenders, cores, tools, upstreams, certificate, given):
        self.contenders, self.cores, self.tools, self.given = contenders, cores, tools, given
        self.upstreams, self.certificate = upstreams, certificate
        self.results, self.failures, self.notes = {}, [], []

    def run(self, workloads):
        with contextlib.ExitStack() as stack:
            sides = []
            for contender in self.contenders:
                sides.append(stack.enter_context(
                    contender.running(self.upstreams, self.certificate, self.cores.one)))
            for workload in workloads:
                print(f"{workload.key}: {workload.title}", file=sys.stderr, flush=True)
                measure = {CPU: self.cost, TIME: self.latency, MEMORY: self.memory, FACTOR: self.two}[workload.unit]
                self.results[workload.key] = measure(workload, sides)

    def rounds(self, workload, members, turn, count=None):
        """In each round all have a turn; who goes first changes, so that a drift meets all alike."""
        found = []
        for number in range(count or self.given.rounds):
            values = {}
            shift = number % len(members)
            for member in members[shift:] + members[:shift]:
                try:
                    values[member.name] = turn(member)
                except Failed as failure:
                    line = f"{workload.key}, round {number + 1}, {member.name}: {failure}"
                    self.failures.append(line)
                    print(f"  FAILED {line}", file=sys.stderr, flush=True)
            found.append(values)
            print("  " + ", ".join(f"{name} {value['value']:.2f}" for name, value in sorted(values.items())),
                  file=sys.stderr, flush=True)
        return found

    def turn(self, workload_turn, side, tools=None, **named):
        """One turn, with the time on a processor that it took."""
        before = processes.cpu(side.pid)
        result = workload_turn(tools or self.tools, side, self.given.seconds, **named)
        used, user, system = (after - earlier for after, earlier in zip(processes.cpu(side.pid), before))
        if not result["requests"]:
            raise Failed("no request was answered")
        if side.process.poll() is not None:
            raise Failed(f"it ended with {side.process.returncode}")
        return {**result, "value": used / result["requests"] * MICRO, "rate": result["requests"] / result["seconds"],
                "busy": used / result["seconds"], "user_s": user, "system_s": system}

    def cost(self, workload, sides):
        found = self.rounds(workload, sides, lambda side: self.turn(workload.turn, side))
        for side in sides:
            busy = [values[side.name]["busy"] for values in found if side.name in values]
            if busy and statistics.median(busy) < BUSY:
                self.notes.append(f"{workload.key}: {side.name} was not on its core for "
                                  f"{100 - 100 * statistics.median(busy):.0f} % of the time")
        ciphers = {values[name]["cipher"] for values in found for name in values if "cipher" in values[name]}
        if len(ciphers) > 1:
            self.notes.append(f"{workload.key}: not all have the same cipher: {', '.join(sorted(ciphers))}")
        return found

    def latency(self, workload, sides):
        """The 99th percentile at a rate that is the same for all."""
        small = helper_load("small")
        ours = {contender.name for contender in self.contenders if contender.is_ours}
        references = [side for side in sides if side.name not in ours] or sides
        top = max(self.top_rate(small, side) for side in references)
        rate = PART_OF_TOP_RATE * top
        self.notes.append(f"p99: {rate:.0f} requests a second, 70 % of {top:.0f}")

        def turn(side):
            result = self.turn(small, side, rate=rate)
            return {**result, "cost_us": result["value"], "value": result["p99_us"]}
        return self.rounds(workload, sides, turn)

    def top_rate(self, small, side):
        return statistics.median(self.turn(small, side)["rate"] for _ in range(3))

    def memory(self, workload, _):
        secure = workload.key == "idle-tls"

        def turn(contender):
            return {"value": idle.measure(
                contender, secure, self.given.idle_connections, self.upstreams, self.certificate, self.cores.one,
                self.cores.load, self.tools.expected)}
        count = min(MEMORY_ROUNDS, self.given.rounds) if not self.given.quick else 1
        return self.rounds(workload, self.contenders, turn, count)

    def two(self, workload, sides):
        """What a second worker adds."""
        apart = self.cores.is_two_apart
        tools = type(self.tools)(self.tools.helper, self.cores.load_of_two, self.tools.folder, self.tools.expected)
        small = helper_load("small", 2 * CONNECTIONS // (2 if apart else 1), 2 if apart else 1)
        if not apart:
            self.notes.append("two: fewer than four cores, so load and workers share theirs. The factor is that of "
                              "what two full cores could do, from the CPU time per request, not a measured rate")
        with contextlib.ExitStack() as stack:
            doubled = {contender.name: stack.enter_context(
                contender.running(self.upstreams, self.certificate, self.cores.two, workers=2))
                for contender in self.contenders}

            def turn(side):
                # With the same load and, where it shares cores, the same disturbance.
                one, both = self.turn(small, side, tools), self.turn(small, doubled[side.name], tools)
                factor = both["rate"] / one["rate"] if apart else 2 * one["value"] / both["value"]
                return {"value": factor, "one": one, "two": both}
            return self.rounds(workload, sides, turn)
