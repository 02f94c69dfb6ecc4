"""The results as a table, as JSON and in BENCHMARKS.md."""

import json
import os
import pathlib
import platform
import re
import subprocess
import time

from . import charts
from .workloads import CPU, FACTOR, MEMORY, Verdict, ratios, rounded, spread

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARKER = "<!-- benchmarks -->\n"


def environment(contenders, cores, given):
    """The machine and what ran on it."""
    model = re.search(r"(?m)^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"],
                            capture_output=True, text=True, check=False).stdout.strip()
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout.split()
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": model.group(1) if model else platform.machine(),
        "cores": len(cores.one | cores.load),
        "kernel": "Linux " + ".".join(platform.release().split(".")[:2]),
        "rustc": rustc[1] if len(rustc) > 1 else "unknown",
        "commit": commit or "unknown",
        "load_average_before": given.load_before,
        "quick": given.quick, "rounds": given.rounds, "seconds_a_turn": given.seconds, "idle_connections": given.idle_connections,
        "versions": {contender.name: contender.version for contender in contenders},
    }


def cell(figures, workload):
    middle, low, high = figures
    if middle is None:
        return "–"
    text = rounded(middle, workload)
    return text if low is None else f"{text} ({rounded(low, workload)}–{rounded(high, workload)})"


def target_of(workload):
    if workload.unit == MEMORY:
        return f"≤ {workload.target:g} KB"
    return f"{'≥' if workload.unit == FACTOR else '≤'} {workload.target:.2f}"


class Report:
    """Everything that is said of a run."""

    def __init__(self, bench, workloads, cores, given):
        self.bench, self.workloads = bench, workloads
        self.names = [contender.name for contender in bench.contenders]
        self.ours = [contender.name for contender in bench.contenders if contender.is_ours]
        self.peers = [name for name in self.names if name not in self.ours]
        self.environment = environment(bench.contenders, cores, given)
        self.verdicts = {workload.key: {
            name: Verdict(workload, bench.results[workload.key], name, self.peers) for name in self.ours}
            for workload in workloads}

    def table(self):
        """In Markdown: medians, the quartiles in brackets."""
        columns = ["", "Unit", *self.names]
        for ours in self.ours:
            prefix = f"{ours} / " if len(self.ours) > 1 else "ratio to "
            columns += [prefix + peer for peer in self.peers]
        if self.peers:
            columns += ["Target"] + [f"{ours}: met" if len(self.ours) > 1 else "Met" for ours in self.ours]
        columns += [f"{ours} / {self.ours[0]}" for ours in self.ours[1:]]
        lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        for workload in self.workloads:
            lines.append("| " + " | ".join(self.row(workload)) + " |")
        return "\n".join(lines) + "\n"

    def row(self, workload):
        rounds = self.bench.results[workload.key]
        row = [f"**{workload.key}** {workload.title}", workload.unit]
        for name in self.names:
            row.append(cell(spread([entry[name]["value"] for entry in rounds if name in entry]), workload))
        verdicts = self.verdicts[workload.key]
        for name in self.ours:
            row += [cell(verdicts[name].to.get(peer, (None,) * 3), workload) for peer in self.peers]
        if self.peers:
            row.append(target_of(workload))
            row += [{True: "yes", False: "**no**", None: "–"}[verdicts[name].is_met] for name in self.ours]
        return row + [cell(spread(ratios(rounds, name, self.ours[0])), workload) for name in self.ours[1:]]

    def split(self):
        """User and system time per request, from all turns together: the kernel samples which is which."""
        lines = ["| CPU µs per request, user + system | " + " | ".join(self.names) + " |",
                 "|---" * (len(self.names) + 1) + "|"]
        for workload in self.workloads:
            if workload.unit == CPU:
                lines.append(f"| **{workload.key}** {workload.title} | "
                             + " | ".join(self.parts(workload, name) for name in self.names) + " |")
        return "\n".join(lines) + "\n" if len(lines) > 2 else ""

    def parts(self, workload, name):
        turns = [entry[name] for entry in self.bench.results[workload.key] if name in entry]
        user, system = sum(turn["user_s"] for turn in turns), sum(turn["system_s"] for turn in turns)
        if not user + system:
            return "–"
        middle = spread([turn["value"] for turn in turns])[0]
        share = user / (user + system)
        return f"{middle * share:.1f} + {middle * (1 - share):.1f}"

    def remarks(self):
        found = [f"- {note}." for note in self.bench.notes]
        found += [f"- Failed, and left out: {failure}." for failure in self.bench.failures]
        return "\n".join(found) + "\n" if found else ""

    def markdown(self):
        about = self.environment
        versions = ", ".join(name if name == version else f"{name} {version}" if name not in version else version
                             for name, version in about["versions"].items())
        text = (f"{about['date']}, {about['processor']}, {about['cores']} cores, {about['kernel']}, rustc "
                f"{about['rustc']}, commit {about['commit']}; {versions}. {about['rounds']} rounds with turns of "
                f"{about['seconds_a_turn']:g} s, {about['idle_connections']} idle connections. Load average before: "
                f"{about['load_average_before']:.2f}."
                f"{' A quick run, which shows only that everything works.' if about['quick'] else ''}"
                f"\n\n{self.table()}\n")
        split = self.split()
        if split:
            text += split + "\n"
        return text + self.remarks()

    def charts(self):
        return charts.draw(self.workloads, self.bench.results, self.names, self.ours, self.verdicts)

    def write(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        results = {
            "environment": self.environment, "failures": self.bench.failures, "notes": self.bench.notes,
            "workloads": {workload.key: {
                "title": workload.title, "unit": workload.unit, "target": workload.target,
                "met": {name: verdict.is_met for name, verdict in self.verdicts[workload.key].items()},
                "compared": {name: verdict.compared for name, verdict in self.verdicts[workload.key].items()},
                "rounds": self.bench.results[workload.key]} for workload in self.workloads}}
        (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        for name, text in self.charts().items():
            (folder / name).write_text(text)

    def renew_document(self):
        """Replaces what stands between the markers of BENCHMARKS.md."""
        path = ROOT / "BENCHMARKS.md"
        parts = path.read_text().split(MARKER)
        if len(parts) != 3:
            raise SystemExit(f"{path.name} must have the line {MARKER.strip()} twice")
        pictures = "".join(f"\n![{title}](docs/benchmarks/{name})\n" for name, title in [
            ("ratios.svg", "Ratio to the best peer"), ("cpu.svg", "CPU time per request"),
            ("memory.svg", "Memory for an idle connection")] if name in self.charts())
        made = path.with_name(f".{path.name}.{os.getpid()}")
        made.write_text(MARKER.join([parts[0], f"\n{self.markdown()}{pictures}\n", parts[2]]))
        made.replace(path)
