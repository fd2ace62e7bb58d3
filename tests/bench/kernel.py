"""The kernel beside evcxr and ipykernel: start, cells, output, interrupts, memory, completion."""

import contextlib
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import zmq
from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from common import BEFORE, NO_WORSE, OURS, WAIT, Goal, cpu_time, memory_at_rest, name_of, pss, running, tell, tree

IPYKERNEL, EVCXR, RUSTC = "ipykernel", "evcxr", "rustc --emit=obj"

# Each cell's name, its Rust, its Python, and the goals; `{n}` is another number each time.
CELLS = [
    ("1+1", "1+1", "1+1", [Goal.of_peer(RUSTC, 1.5), Goal.times_less(EVCXR, 6)]),
    ("let", "let x{n} = {n};", "x{n} = {n}", [Goal.times_less(EVCXR, 2)]),
    ("fn", "fn f{n}(a: u64) -> u64 { a + {n} }", "def f{n}(a): return a + {n}", [Goal.times_less(EVCXR, 2)]),
    (
        "HashMap",
        "use std::collections::HashMap; let mut m{n} = HashMap::new(); m{n}.insert(\"a\", {n}); m{n}",
        "m{n} = dict(); m{n}['a'] = {n}; m{n}",
        [Goal.times_less(EVCXR, 2)],
    ),
    ("panic", 'panic!("{n}")', "raise Exception({n})", [Goal.times_less(EVCXR, 2)]),
]
PRINTS = ('for i in 0..10_000 { println!("line {i}"); }', "for i in range(10_000): print('line', i)")
ENDLESS = (
    'println!("on"); let mut i = 0u64; loop { i = std::hint::black_box(i + 1); }',
    "print('on', flush=True)\nwhile True: pass",
)
TENSOR = (
    "let x = Tensor::arange(0f32, 6., &Device::Cpu)?.reshape((2, 3))?;\n"
    'let y = x.matmul(&x.t()?)?;\nprintln!("{y}");'
)
REPEATS = 6
ANALYZER = "carrel-analyzer"
# Seconds between a cell and the first Tab.
A_LOOK = 4


def measure(options):
    peers = {OURS: Peer([options.kernel, "--connection-file"], 0)}
    if options.before:
        peers[BEFORE] = Peer([f"{options.before}/carrel-kernel", "--connection-file"], 0)
    else:
        if options.evcxr:
            peers[EVCXR] = Peer([options.evcxr, "--control_file"], 0)
        peers[IPYKERNEL] = Peer([sys.executable, "-m", "ipykernel_launcher", "-f"], 1)
    figures = Figures()
    for number in range(options.rounds):
        # In turn, for a machine has slow and quick minutes.
        order = sorted(peers.items(), reverse=number % 2 == 1)
        if options.before:
            a_round(figures, dict(order))
        else:
            for name, peer in order:
                a_round(figures, {name: peer})
            bare_rustc(figures)
    for number in range(options.rounds):
        for name in sorted(peers.keys() & {OURS, BEFORE}, reverse=number % 2 == 1):
            figures.add("first tensor cell, at once", name, first_tensor(peers[name], wait=False))
            figures.add("first tensor cell, a second after start", name, first_tensor(peers[name], wait=True))
    # A hundred cells of evcxr take a minute: once.
    for name, peer in peers.items():
        before, after = growth(peer)
        figures.add("1+1 after 100 cells, by that before", name, after / before)
    figures.tell()


class Peer:
    """A kernel's program, and which of a pair of cells it understands."""

    def __init__(self, command, language):
        self.command, self.language = command, language


class Figures:
    """Samples by row and peer, in the order in which rows come first."""

    UNITS = {"messages": "messages", "memory": "MB", "1+1 after": "times"}
    GOALS = {
        "start to kernel_info": [Goal.at_most(0.1)],
        "10,000 prints": [Goal.of_peer(IPYKERNEL, 1)],
        "messages of 10,000 prints": [Goal.at_most(60)],
        "interrupt to reply": [Goal.at_most(0.2)],
        "memory before a completion": [Goal.at_most(50)],
        # A person looks at the cell that ran, and types.
        "completion, first": [Goal.at_most(0.3)],
        "completion, next": [Goal.at_most(0.03)],
        "first tensor cell, at once": [Goal.at_most(0.3)],
        "first tensor cell, a second after start": [Goal.at_most(0.3)],
        "1+1 after 100 cells, by that before": [Goal.at_most(1.1)],
        **{f"cell {name}": goals for name, _, _, goals in CELLS},
        "cell 1+1, processor time": CELLS[0][3],
    }

    def __init__(self):
        self.samples, self.notes = {}, {}

    def add(self, what, peer, sample):
        self.samples.setdefault(what, {}).setdefault(peer, []).append(sample)

    def note(self, what, peer, text):
        self.notes[what, peer] = text

    def tell(self):
        for what, samples in self.samples.items():
            unit = next((unit for key, unit in self.UNITS.items() if key in what), "s")
            goals = [Goal.of_peer(BEFORE, NO_WORSE)] if BEFORE in samples else self.GOALS.get(what, [])
            tell(what, unit, samples, goals)
        for (what, peer), text in self.notes.items():
            print(f"{what}: {peer}: {text}", flush=True)


def a_round(figures, peers):
    """A kernel of each, which run every cell in turn."""
    with contextlib.ExitStack() as stack:
        kernels = {}
        for name, peer in peers.items():
            started, client, process = stack.enter_context(kernel(peer))
            figures.add("start to kernel_info", name, started)
            client.run("1+1")
            kernels[name] = client, process.pid, peer.language
        cells(figures, kernels)
        for name, (client, pid, language) in kernels.items():
            # The analyzer starts while the notebook is still, and is told of below.
            figures.add("memory before a completion", name, memory_at_rest(pid, but=[ANALYZER]))
            client.run(("let kept = 1234567;", "kept = 1234567")[language])
            figures.add("interrupt to reply", name, client.interrupt(ENDLESS[language], pid, language))
            kept = "1234567" in client.run("kept", text=True)
            figures.note("interrupt", name, "variables live on" if kept else "variables are lost")
            time.sleep(A_LOOK)
            text = ("let words = vec![1, 2]; words.le", "words = [1, 2]; words.cle")[language]
            for when in ("first", "next"):
                took, matches = client.complete(text)
                figures.add(f"completion, {when}", name, took)
                figures.note("completion", name, f"{matches} matches of `{text}`")
            analyzer = sum(pss(process) for process in tree(pid) if name_of(process) == ANALYZER)
            if analyzer:
                figures.add("memory of the analyzer", name, analyzer)


def cells(figures, kernels):
    numbers = iter(range(10_000))
    for cell, *codes, _ in CELLS:
        before = {name: cpu_time(pid) for name, (_, pid, _) in kernels.items()}
        for _ in range(REPEATS):
            for name, (client, _, language) in kernels.items():
                code = codes[language].replace("{n}", str(next(numbers)))
                figures.add(f"cell {cell}", name, client.run(code, fails=cell == "panic")[0])
        for name, (_, pid, _) in kernels.items():
            figures.add(f"cell {cell}, processor time", name, (cpu_time(pid) - before[name]) / REPEATS)
    for _ in range(2):
        for name, (client, _, language) in kernels.items():
            took, messages = client.run(PRINTS[language])
            figures.add("10,000 prints", name, took)
            figures.add("messages of 10,000 prints", name, messages)


def first_tensor(peer, wait):
    with kernel(peer) as (_, client, _):
        if wait:
            time.sleep(1)
        return client.run(TENSOR)[0]


def growth(peer):
    """Median of `1+1` before and after 100 cells, every second of which defines a function."""
    with kernel(peer) as (_, client, _):
        client.run("1+1")
        before = [client.run("1+1")[0] for _ in range(2 * REPEATS)]
        for number in range(100):
            codes = CELLS[1 + number % 2][1:3]
            client.run(codes[peer.language].replace("{n}", str(number)))
        after = [client.run("1+1")[0] for _ in range(2 * REPEATS)]
    return statistics.median(before), statistics.median(after)


def bare_rustc(figures):
    """The compiler alone, without rustup's proxy, on the line that a cell is."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "line.rs").write_text("pub fn line() -> i32 { 1+1 }\n")
        command = [rustc(), "--crate-type=lib", "--edition=2024", "--emit=obj", "line.rs"]
        before = children_cpu_time()
        for _ in range(REPEATS):
            begin = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True)
            figures.add("cell 1+1", RUSTC, time.perf_counter() - begin)
        figures.add("cell 1+1, processor time", RUSTC, (children_cpu_time() - before) / REPEATS)


def children_cpu_time():
    times = os.times()
    return times.children_user + times.children_system


def rustc():
    sysroot = subprocess.run(["rustc", "--print=sysroot"], capture_output=True, text=True, check=True).stdout
    return os.path.join(sysroot.strip(), "bin", "rustc")


@contextlib.contextmanager
def kernel(peer):
    """A running kernel: the time to its first kernel_info_reply, a client, the process."""
    with tempfile.TemporaryDirectory() as folder:
        file, _ = write_connection_file(os.path.join(folder, "kernel.json"))
        context = zmq.Context()
        # libzmq looks for a kernel that does not listen yet every 100 ms, which would be all that one measures.
        context.reconnect_ivl = 2
        client = Client(connection_file=file, context=context)
        client.load_connection_file()
        begin = time.perf_counter()
        with running([*peer.command, file], folder, None) as process:
            client.start_channels(hb=False, stdin=False)
            client.kernel_info()
            client.get_shell_msg(timeout=WAIT)
            yield time.perf_counter() - begin, client, process
            client.stop_channels()


class Client(BlockingKernelClient):
    """A client that times what it asks for."""

    def run(self, code, text=False, fails=False):
        """Seconds to reply and idle, and the number of streams; or all the text that came."""
        begin = time.perf_counter()
        message = self.execute(code)
        streams, said = 0, []
        while True:
            output = self.get_iopub_msg(timeout=WAIT)
            if output["parent_header"].get("msg_id") != message:
                continue
            streams += output["msg_type"] == "stream"
            said.append(str(output["content"].get("data", "")))
            if output["content"].get("execution_state") == "idle":
                break
        reply = self.get_shell_msg(timeout=WAIT)["content"]
        took = time.perf_counter() - begin
        if reply["status"] != "ok" and not (text or fails):
            raise SystemExit(f"a cell failed: {code}\n{reply}")
        return "".join(said) if text else (took, streams)

    def interrupt(self, code, pid, language):
        """Seconds from the interrupt of a cell that prints and goes on for ever to its reply."""
        self.execute(code)
        while self.get_iopub_msg(timeout=WAIT)["msg_type"] != "stream":
            pass
        time.sleep(0.2)
        begin = time.perf_counter()
        if language == 1:
            os.kill(pid, signal.SIGINT)
        else:
            self.control_channel.send(self.session.msg("interrupt_request", {}))
        self.get_shell_msg(timeout=WAIT)
        return time.perf_counter() - begin

    def complete(self, code):
        begin = time.perf_counter()
        super().complete(code, len(code))
        reply = self.get_shell_msg(timeout=WAIT)
        return time.perf_counter() - begin, len(reply["content"].get("matches", []))
