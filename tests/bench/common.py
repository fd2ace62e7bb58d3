"""What all parts of the benchmark share: processes, waiting, memory, and the table."""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

WAIT = 60
OURS = "carrel"
# Carrel as it was at another commit.
BEFORE = "before"
# The goals that were not met.
MISSED = []
# By how much it may be slower or larger than then: less is within what a machine's other work blurs.
NO_WORSE = 1.03


@contextlib.contextmanager
def running(command, folder, port, env=None):
    log = open(pathlib.Path(folder, f"{time.monotonic_ns()}.log"), "wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=env, start_new_session=True)
    try:
        yield process if port is None else (process, port)
    except BaseException:
        sys.stderr.write(pathlib.Path(log.name).read_text(errors="replace")[-4000:])
        raise
    finally:
        for signal in (15, 9):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break


def wait_for(condition, what):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if condition():
                return
        time.sleep(0.005)
    raise SystemExit(f"waited {WAIT} s for {what}")


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def memory_at_rest(pid, but=()):
    """Proportional set size in MB of the process and its children, once it no longer changes by over 1 %.

    Children of the names in `but` are counted apart, and not here.
    """
    last, end = 0.0, time.monotonic() + WAIT
    while time.monotonic() < end:
        time.sleep(0.5)
        now = sum(pss(process) for process in tree(pid) if name_of(process) not in but)
        if abs(now - last) <= 0.01 * now:
            return now
        last = now
    raise SystemExit(f"the memory of process {pid} did not come to rest in {WAIT} s")


def name_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def pss(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_time(pid):
    """Seconds of the processor that the process, its children and all that these waited for have used."""
    ticks = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold spaces.
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(grandchild for child in children for grandchild in tree(child))]


@dataclasses.dataclass
class Goal:
    """What our median is held to: a figure, or a peer's median."""

    text: str
    peer: str | None
    met: object

    @staticmethod
    def at_most(limit):
        return Goal(f"<= {limit:g}", None, lambda ours, _: ours <= limit)

    @staticmethod
    def of_peer(peer, times):
        """Our figure is at most so many times the peer's."""
        return Goal(f"<= {times:g} x", peer, lambda ours, theirs: ours <= times * theirs)

    @staticmethod
    def times_as_fast(peer, times):
        """A rate: ours is at least so many times the peer's."""
        return Goal(f">= {times:g} x as fast", peer, lambda ours, theirs: ours >= times * theirs)

    @staticmethod
    def times_less(peer, times):
        """A duration: the peer's is at least so many times ours."""
        return Goal(f">= {times:g} x as fast", peer, lambda ours, theirs: theirs >= times * ours)


def heading():
    row("what", "Carrel", "peer", "", "ratio", "goal", "met")


def tell(what, unit, samples, goals=()):
    """A line for each peer with peer / ours as ratio, and one for each goal that no peer has."""
    ours = samples[OURS]
    for goal in goals:
        if goal.peer is None:
            row(what, figure(ours, unit), "", "", "", f"{goal.text} {unit}", verdict(goal, ours, ours))
    for peer, theirs in samples.items():
        if peer == OURS:
            continue
        of_peer = [goal for goal in goals if goal.peer == peer] or [None]
        for goal in of_peer:
            ratio = statistics.median(theirs) / statistics.median(ours) if any(ours) else float("inf")
            text, met = ("", "") if goal is None else (goal.text, verdict(goal, ours, theirs))
            row(what, figure(ours, unit), peer, figure(theirs, unit), f"{ratio:.2f}", text, met)
    if len(samples) == 1 and not goals:
        row(what, figure(ours, unit), "(no peer)", "", "", "", "")


def verdict(goal, ours, theirs):
    met = goal.met(statistics.median(ours), statistics.median(theirs))
    MISSED.extend([] if met else [goal])
    return "met" if met else "NOT MET"


def row(what, ours, peer, theirs, ratio, goal, met):
    print(f"{what:40} {ours:>25}  {peer:24} {theirs:>25} {ratio:>7}  {goal:17} {met}", flush=True)


def figure(samples, unit):
    digits = {"s": 3, "MB": 1, "ms": 2, "times": 2, "GB/s": 2}.get(unit, 0)
    middle, low, high = statistics.median(samples), min(samples), max(samples)
    return f"{middle:.{digits}f} {unit} [{low:.{digits}f}-{high:.{digits}f}]"


def number(command, **environment):
    """The last word of what a program prints."""
    output = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return float(output.stdout.split()[-1])
