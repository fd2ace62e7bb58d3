"""Training beside PyTorch and plain candle, sums over ranks beside the loopback, the seed's job, compile time."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from common import BEFORE, NO_WORSE, OURS, Goal, free_port, number, pss, running, tell, wait_for

# Those of plain candle, which is slow, tell as much when they are fewer.
STEPS, STEPS_OF_CANDLE = 150, 20
# Some seconds of each network, and how many times as fast as PyTorch's best mode it is to be.
NETWORKS = {
    "mnist": ("the MNIST network", 600, 2.2),
    "mlp": ("MLP 784-1024-1024-10", 150, 1.1),
    "transformer": ("transformer, 4 layers", 12, 1.1),
    "resnet20": ("ResNet-20", 10, 1.1),
    "resnet18": ("ResNet-18", 6, 1.1),
}
MODES = ("eager", "channels_last", "compile")
# They take no pictures, whose channels could come last.
WITHOUT_CHANNELS = ("mlp", "transformer")
# A second thread is to give this many times the rate; the MNIST network is too small for it.
TWO_THREADS = 1.7
# Dropout draws other masks.
RANDOM = ("mnist",)
GRADIENTS = 21_840 * 4
LARGE = 100_000_000
RANKS = 4


def measure(options):
    if options.before:
        return as_before(options)
    throughput(options)
    all_reduce(options)
    seeds_job(options)
    compile_time()


def throughput(options):
    """The same networks, first weights and batch on both sides."""
    allocator = preload()
    theirs = allocator or "the C library: no mimalloc or jemalloc here"
    print(f"training: Carrel allocates by mimalloc, PyTorch by {theirs}")
    if not options.torch:
        print("training: measuring without PyTorch")
    modes = [mode for mode in MODES if options.torch and (mode != "compile" or compiler())]
    for network, (name, steps, times) in NETWORKS.items():
        rates = {}
        for threads in (1, 2):
            of_network = [mode for mode in modes if mode != "channels_last" or network not in WITHOUT_CHANNELS]
            how = (threads, of_network, allocator)
            rates[threads] = beside_torch(options, network, (name, steps, times), how)
        if network not in RANDOM:
            goals = [Goal.times_as_fast("1 thread", TWO_THREADS)]
            tell(f"{name}, 2 threads", "img/s", {OURS: rates[2], "1 thread": rates[1]}, goals)
    rates = {OURS: [], "plain candle": []}
    for _ in range(options.rounds):
        for stack, of_stack, steps in (("carrel", OURS, STEPS), ("candle", "plain candle", STEPS_OF_CANDLE)):
            rates[of_stack].append(number([options.throughput, stack, str(steps)], RAYON_NUM_THREADS="1"))
    tell("the MNIST network, 1 thread", "img/s", rates, [Goal.times_as_fast("plain candle", 12)])


def beside_torch(options, network, what, how):
    """Our rates. The best of PyTorch's modes counts, and of memory what its steps take in the one that takes least."""
    (name, steps, times), (threads, modes, allocator) = what, how
    script = pathlib.Path(__file__).with_name("training_torch.py")
    runs = {OURS: ([options.throughput, "carrel", str(steps), network], {"RAYON_NUM_THREADS": str(threads)})}
    for mode in modes:
        preloaded = {"LD_PRELOAD": allocator} if allocator else {}
        runs[f"PyTorch {mode}"] = ([options.torch, script, network, mode, str(threads), str(steps)], preloaded)
    rates, memory = {name: [] for name in runs}, {name: [] for name in runs}
    losses = {}
    for _ in range(options.rounds):
        for of, (command, environment) in runs.items():
            said = words(command, **environment)
            rates[of].append(said["rate"])
            memory[of].append(said["memory"])
            losses[of] = said["loss"]
    peers = [of for of in runs if of != OURS]
    title = f"{name}, {threads} thread{'s' * (threads > 1)}"
    if not peers:
        tell(title, "img/s", rates)
        tell(f"{title}, memory of steps", "MB", memory)
        return rates[OURS]
    best = max(peers, key=lambda of: statistics.median(rates[of]))
    least = min(peers, key=lambda of: statistics.median(memory[of]))
    tell(title, "img/s", rates, [Goal.times_as_fast(best, times)])
    of_both = {of: memory[of] for of in (OURS, least)}
    tell(f"{title}, memory of steps", "MB", of_both, [Goal.of_peer(least, 1.0)])
    if network not in RANDOM:
        for of in peers:
            off = abs(losses[of] - losses[OURS])
            if off > 1e-3 * losses[of]:
                raise SystemExit(f"{title}: the second loss is {losses[OURS]} here and {losses[of]} by {of}")
    return rates[OURS]


def words(command, **environment):
    """What a program prints: names with numbers, and at last the rate."""
    output = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if output.returncode:
        raise SystemExit(f"{command} failed: {output.stderr[-2000:]}")
    *lines, rate = output.stdout.strip().splitlines()
    pairs = (line.split() for line in lines)
    return {"rate": float(rate), **{name: float(value) for name, value in pairs}}


def compiler():
    """torch.compile writes C++."""
    if shutil.which("g++") or shutil.which("clang++"):
        return True
    print("training: PyTorch without torch.compile, which needs a compiler (apt install g++)")
    return False


def preload():
    """A library that gives PyTorch the allocator that Carrel's programs have, or one as good."""
    for name in ("libmimalloc.so*", "libjemalloc.so*"):
        for folder in ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib"):
            for path in sorted(glob.glob(f"{folder}/{name}")):
                return path
    return None


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
