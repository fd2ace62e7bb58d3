"""Training beside PyTorch and plain candle, sums over ranks beside the loopback, the seed's job, compile time."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from common import BEFORE, NO_WORSE, OURS, Goal, free_port, number, pss, running, tell, wait_for

STEPS = 150
# candle is so slow that fewer steps tell as much.
STEPS_OF_CANDLE = 20
GRADIENTS = 21_840 * 4
LARGE = 100_000_000
# Debian's python3-torch is a package of the system's Python.
PYTHON = "/usr/bin/python3"
RANKS = 4


def measure(options):
    if options.before:
        return as_before(options)
    throughput(options)
    all_reduce(options)
    seeds_job(options)
    compile_time()


def throughput(options):
    torch = subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode == 0
    if not torch:
        print("training: measuring without PyTorch (apt install python3-torch)")
    script = pathlib.Path(__file__).with_name("training_torch.py")
    for threads in (1, 2):
        commands = {OURS: [options.throughput, "carrel", str(STEPS)]}
        if torch:
            commands["PyTorch"] = [PYTHON, script, str(threads), str(STEPS)]
        commands["plain candle"] = [options.throughput, "candle", str(STEPS_OF_CANDLE)]
        rates = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                rates[name].append(number(command, RAYON_NUM_THREADS=str(threads)))
        goals = [Goal.times_as_fast("PyTorch", 2.2), Goal.times_as_fast("plain candle", 12)]
        tell(f"MNIST network in training, {threads} threads", "img/s", rates, goals)


def as_before(options):
    """The same programs of both commits, turn by turn."""
    examples = {OURS: os.path.dirname(options.throughput), BEFORE: f"{options.before}/examples"}
    goals = [Goal.times_as_fast(BEFORE, 1 / NO_WORSE)]
    for threads in (1, 2):
        rates = {name: [] for name in examples}
        for _ in range(options.rounds):
            for name, folder in examples.items():
                command = [f"{folder}/throughput", "carrel", str(STEPS)]
                rates[name].append(number(command, RAYON_NUM_THREADS=str(threads)))
        tell(f"MNIST network in training, {threads} threads", "img/s", rates, goals)
    for size, rounds in ((GRADIENTS, 5000), (LARGE, 5)):
        rates = {name: [] for name in examples}
        for _ in range(options.rounds):
            for name, folder in examples.items():
                moved = 2 * size / 1e9
                rates[name].append(moved / number([f"{folder}/all_reduce", "2", str(size), str(rounds)]))
        tell(f"sum of {size / 1e6:.2g} MB over 2 ranks", "GB/s", rates, goals)


def all_reduce(options):
    """Bytes that all ranks send in all, per second."""
    iperf = shutil.which("iperf3")
    if not iperf:
        print("training: sums over ranks without their limit (apt install iperf3)")
    for ranks in (2, 4):
        for size, rounds in ((GRADIENTS, 5000), (LARGE, 5)):
            moved = 2 * (ranks - 1) * size / 1e9
            rates = {OURS: [], **({"iperf3": []} if iperf else {})}
            for _ in range(options.rounds):
                rates[OURS].append(moved / number([options.all_reduce, str(ranks), str(size), str(rounds)]))
                if iperf:
                    rates["iperf3"].append(loopback(iperf, ranks))
            goals = [Goal.times_as_fast("iperf3", 0.7)]
            tell(f"sum of {size / 1e6:.2g} MB over {ranks} ranks", "GB/s", rates, goals)


def loopback(iperf, streams):
    """GB per second of so many connections at once."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ports = [free_port() for _ in range(streams)]
        for port in ports:
            stack.enter_context(running([iperf, "-s", "-1", "-p", str(port)], folder, None))
        wait_for(lambda: all(listens(port) for port in ports), "iperf3 to listen")
        command = [iperf, "-c", "127.0.0.1", "-t", "2", "-J", "-p"]
        clients = [subprocess.Popen([*command, str(port)], stdout=subprocess.PIPE) for port in ports]
        reports = [json.loads(client.communicate()[0]) for client in clients]
        return sum(report["end"]["sum_received"]["bits_per_second"] for report in reports) / 8e9


def listens(port):
    """Without connecting: iperf3 -1 serves one connection only."""
    state = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
    return f":{port:04X} 00000000" in state


def seeds_job(options):
    """Ten epochs on four ranks, once."""
    data = os.environ.get("CARREL_DATA")
    if not data:
        print("training: the seed's job is skipped, $CARREL_DATA names no folder with MNIST")
        return
    port, begun = free_port(), time.monotonic()
    place = {"WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RAYON_NUM_THREADS": "1"}
    command = [options.train, "mnist", "--data", data]
    ranks = [
        subprocess.Popen(command, env={**os.environ, **place, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(RANKS)
    ]
    most = 0.0
    while ranks[0].poll() is None:
        most = max(most, sum(pss(rank.pid) for rank in ranks))
        time.sleep(0.5)
    outputs = [rank.communicate()[0] for rank in ranks]
    if any(rank.returncode for rank in ranks):
        raise SystemExit("the seed's job failed")
    tell("the seed's job, 10 epochs, 4 ranks", "s", {OURS: [time.monotonic() - begun]})
    tell("the seed's job, memory of 4 ranks", "MB", {OURS: [most]})
    print("\n".join(line for line in outputs[0].splitlines() if line.startswith(("Rank", "Test"))))


def compile_time():
    """Of the crate alone, optimized, and of the program that it is linked into."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "carrel-train"]
    subprocess.run(command, check=True)
    os.utime("training/src/lib.rs")
    begun = time.monotonic()
    subprocess.run(command, check=True)
    tell("carrel-training compiled again", "s", {OURS: [time.monotonic() - begun]})
