"""Processes: starting them on cores of their own, and what the kernel says they used."""

import contextlib
import ctypes
import os
import pathlib
import random
import signal
import socket
import subprocess

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 30
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
# Below those that the kernel gives to clients, which use up thousands of them meanwhile.
PORTS = (20_000, 30_000)


def on_cores(cores):
    """What a child does before it becomes its program: it stays on these cores, and ends with this process."""
    parent = os.getpid()

    def prepare():
        os.sched_setaffinity(0, cores)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
    return prepare


def start(command, cores, **named):
    """Starts a program. Ctrl-C does not reach it: it is stopped in its turn."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=on_cores(cores), start_new_session=True, **named)


def stop(process):
    """Ends a process, by force if it takes too long."""
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE_S)
        return
    process.kill()
    process.wait()


def run(command, cores, seconds):
    """Runs a program to its end, with a limit; returns what it printed, and what it complained about."""
    process = start(command, cores, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, complaints = process.communicate(timeout=seconds + PATIENCE_S)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process.returncode, out, complaints


def free_port():
    for _ in range(1_000):
        port = random.randrange(*PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit(f"no free port from {PORTS[0]} to {PORTS[1]} on 127.0.0.1")


def family(pid):
    """A process and its descendants."""
    found = [pid]
    for task in tasks(pid):
        with contextlib.suppress(OSError):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += family(int(child))
    return found


def tasks(pid):
    with contextlib.suppress(OSError):
        return os.listdir(f"/proc/{pid}/task")
    return []


def cpu_of(pid):
    """Seconds on a processor of the threads of one process, to the nanosecond."""
    total = 0
    for task in tasks(pid):
        with contextlib.suppress(OSError):
            total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def cpu(pid):
    """Seconds on a processor so far, of a process and its descendants: all, and of them in user mode.

    The scheduler counts all of them in nanoseconds. What is user mode is sampled at ticks, so its share is one of
    many turns and not of one.
    """
    exact = user = system = 0
    for member in family(pid):
        exact += cpu_of(member)
        with contextlib.suppress(OSError):
            # Behind the name, which may have spaces and brackets.
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
    return exact, user / TICKS_PER_S, system / TICKS_PER_S


def resident(pid):
    """KiB in memory, of a process and its descendants."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssFile:", "RssShmem:")):
                    total += int(line.split()[1])
    return total
