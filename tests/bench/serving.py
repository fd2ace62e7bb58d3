"""The model server beside kserve's and mlserver's own with ONNX Runtime, and the engines beside ONNX Runtime in Python."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from common import OURS, Goal, free_port, get, memory_at_rest, number, running, tell, wait_for

PYTHON, KSERVE, MLSERVER = "onnxruntime in Python", "kserve 0.21", "mlserver 1.7"
PICTURE = "1,3,227,227"
HERE = pathlib.Path(__file__).parent
# Protocol, model, input, shape, clients; and what is said of it.
LOADS = {
    "tiny network by JSON": ("http-json", "tiny", "x", "1,2", 16),
    "tiny network by gRPC": ("grpc", "tiny", "x", "1,2", 16),
    "SqueezeNet by gRPC": ("grpc", "squeezenet", "data", PICTURE, 4),
}


def measure(options):
    data = os.environ.get("CARREL_DATA")
    if not data:
        print("serving: skipped, $CARREL_DATA names no folder with squeezenet")
        return
    squeezenet = f"{data}/squeezenet/squeezenet1.1.onnx"
    # The same library for all.
    code = "import onnxruntime, glob; print(*glob.glob(onnxruntime.__path__[0] + '/capi/libonnxruntime.so.*'))"
    library = subprocess.run([options.kserve, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    os.environ["ORT_DYLIB_PATH"] = library
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([options.kserve, HERE / "serving_networks.py", folder], check=True)
        networks = {name: f"{folder}/{name}.onnx" for name in ("tiny", "mlp")}
        engines(options, squeezenet)
        servers(options, {**networks, "squeezenet": squeezenet})
        starts(options, networks["tiny"])
        cost(options, networks["tiny"])
        batching(options, networks["mlp"])


def engines(options, model, rounds=40):
    """The network alone, without a server."""
    for threads in (1, 2):
        ours, rten = ([options.engine_time, model, name, threads, rounds] for name in ("onnxruntime", "rten"))
        commands = {OURS: ours, "rten": rten, PYTHON: [options.kserve, HERE / "serving_python.py", model, threads, rounds]}
        times = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(number([str(part) for part in command]))
        theirs = {PYTHON: times[PYTHON]}
        what = f"SqueezeNet on {threads} threads"
        tell(what, "ms", {OURS: times[OURS], **theirs}, [Goal.of_peer(PYTHON, 1.05)])
        tell(f"{what}, by rten", "ms", {OURS: times["rten"], **theirs}, [Goal.of_peer(PYTHON, 1.6)])


def servers(options, networks, threads=2):
    """Each with two threads of the engine: ours for two requests at a time, theirs, which compute one, for it alone."""
    starts = {OURS: start_carrel, KSERVE: start_kserve, MLSERVER: start_mlserver}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        addresses, memory = {}, {name: [] for name in starts}
        for name, start in starts.items():
            own = pathlib.Path(folder, name.replace(" ", "-"))
            own.mkdir()
            process, http, grpc = stack.enter_context(start(options, own, networks, threads))
            addresses[name] = (process, http, grpc)
            for network in networks:
                wait_for(lambda: get(http, f"/v2/models/{network}/ready") == 200, f"{network} of {name}")
        for what, (protocol, *target) in LOADS.items():
            rates, late = {name: [] for name in starts}, {name: [] for name in starts}
            for _ in range(options.rounds):
                for name, (_, http, grpc) in addresses.items():
                    rate, _, percentile = load(options, protocol, grpc if protocol == "grpc" else http, *target)
                    rates[name].append(rate)
                    late[name].append(percentile)
            times = 1.5 if target[0] == "squeezenet" else 10
            goals = [Goal.times_as_fast(peer, times) for peer in (KSERVE, MLSERVER)]
            tell(what, "req/s", rates, goals)
            tell(f"{what}, p99", "ms", late)
        for name, (process, _, _) in addresses.items():
            memory[name].append(memory_at_rest(process.pid))
        tell("memory after that", "MB", memory, [Goal.of_peer(KSERVE, 0.25)])


def starts(options, tiny):
    """From a start to ready, without the time that the model took to load, after it was killed."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for round in range(options.rounds + 1):
            own = pathlib.Path(folder, str(round))
            own.mkdir()
            begin = time.perf_counter()
            with start_carrel(options, own, {"tiny": tiny}) as (process, http, _):
                wait_for(lambda: get(http, "/readyz") == 200, "the server to be ready")
                whole = time.perf_counter() - begin
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            [log] = own.glob("*.log")
            loading = float(re.search(r"duration_ms=(\d+)", log.read_text())[1]) / 1e3
            times.append(whole - loading)
    # The first reads the program from the disk.
    tell("start to ready beyond the model", "s", {OURS: times[1:]}, [Goal.at_most(0.2)])


def cost(options, tiny):
    """What a request of one client takes beyond the engine."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _, http, grpc = stack.enter_context(start_carrel(options, pathlib.Path(folder), {"tiny": tiny}))
        wait_for(lambda: get(http, "/v2/models/tiny/ready") == 200, "the tiny network")
        for protocol, port, limit in (("grpc", grpc, 0.3), ("http-binary", http, 0.2)):
            times = []
            for _ in range(options.rounds):
                engine = number([options.engine_time, tiny, "onnxruntime", "1", "2000"])
                _, median, _ = load(options, protocol, port, "tiny", "x", "1,2", 1)
                times.append(median - engine)
            tell(f"a request beyond the engine, {protocol}", "ms", {OURS: times}, [Goal.at_most(limit)])


def batching(options, mlp):
    """The same network with and without, for 64 clients."""
    alone = "each alone"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ports, rates, late = {}, {OURS: [], alone: []}, {OURS: [], alone: []}
        for name, more in ((OURS, {"batching": {"max_size": 32, "max_delay_us": 1000}}), (alone, {})):
            own = pathlib.Path(folder, name.replace(" ", "-"))
            own.mkdir()
            _, http, ports[name] = stack.enter_context(start_carrel(options, own, {"mlp": mlp}, more=more))
            wait_for(lambda: get(http, "/v2/models/mlp/ready") == 200, "the network of layers")
        for _ in range(options.rounds):
            for name, port in ports.items():
                rate, _, percentile = load(options, "grpc", port, "mlp", "x", "1,784", 64)
                rates[name].append(rate)
                late[name].append(percentile)
        tell("layers of 1024 in batches, 64 clients", "req/s", rates, [Goal.times_as_fast(alone, 1)])
        tell("layers of 1024 in batches, p99", "ms", late)


def load(options, protocol, port, model, given, shape, clients):
    """Requests per second, and the median and 99th percentile of their times."""
    command = [options.serving_load, protocol, f"127.0.0.1:{port}", model, given, shape, str(clients), str(options.seconds)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, median, late, failed = map(float, output.split())
    if failed or not rate:
        raise SystemExit(f"{failed:.0f} requests failed: {' '.join(command)}")
    return rate, median, late


@contextlib.contextmanager
def start_carrel(options, folder, networks, instances=1, more=None):
    models = []
    for name, file in networks.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        shutil.copy(file, version / "model.onnx")
        model = {"name": name, "base_path": str(folder / name), "threads": 1, "instances": instances}
        models.append({**model, **(more or {})})
    # JSON is YAML.
    (folder / "models.yaml").write_text(json.dumps({"models": models}))
    http, grpc = free_port(), free_port()
    command = [options.model_server, "--address", "127.0.0.1", "--port", str(grpc), "--rest-api-port", str(http)]
    with running([*command, "--model-config-file", str(folder / "models.yaml")], folder, None) as process:
        yield process, http, grpc


@contextlib.contextmanager
def start_kserve(options, folder, networks, threads):
    http, grpc = free_port(), free_port()
    command = [options.kserve, str(HERE / "serving_kserve.py"), str(http), str(grpc), str(threads)]
    pairs = [f"{name}={file}" for name, file in networks.items()]
    with running([*command, *pairs], folder, None) as process:
        yield process, http, grpc


@contextlib.contextmanager
def start_mlserver(options, folder, networks, threads):
    http, grpc, metrics = free_port(), free_port(), free_port()
    # All in one process, as the others are: with workers beside it, each request is copied twice.
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0}
    settings["logging_settings"] = {"version": 1, "disable_existing_loggers": True}
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, file in networks.items():
        (folder / name).mkdir()
        parameters = {"uri": file, "extra": {"threads": threads}}
        model = {"name": name, "implementation": "serving_mlserver.Network", "parameters": parameters}
        (folder / name / "model-settings.json").write_text(json.dumps(model))
    command = [str(pathlib.Path(options.mlserver).with_name("mlserver")), "start", str(folder)]
    with running(command, folder, None, {**os.environ, "PYTHONPATH": str(HERE)}) as process:
        yield process, http, grpc
