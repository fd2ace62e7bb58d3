"""Speed and memory beside the peers: each pair is measured in one run, turn by turn, and its ratio printed.

Medians of the rounds; the range in brackets. Other programs on the machine blur single figures: trust the ratios.
"""

import argparse
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import zmq
from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

WAIT = 60


def main():
    options = arguments()
    print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} at the start\n", flush=True)
    print(f"{'what':38} {'Carrel':>24}   {'peer':56} {'ratio':>6}   goal")
    hubs(options)
    kernels(options)
    proxies(options)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True, help="carrel-hub")
    parser.add_argument("--kernel", required=True, help="carrel-kernel")
    parser.add_argument("--proxy", required=True, help="the example proxy_bench")
    parser.add_argument("--jupyterhub", required=True)
    parser.add_argument("--chp", help="configurable-http-proxy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load per proxy and round")
    return parser.parse_args()


# --- hub ------------------------------------------------------------------------------------------------------------


def hubs(options):
    peers = {"carrel": lambda folder: start_hub(options, folder)}
    if options.chp:
        peers["JupyterHub 6.1 with its proxy"] = lambda folder: start_jupyterhub(options, folder)
    starts, memory = {name: [] for name in peers}, {name: [] for name in peers}
    for _ in range(options.rounds):
        for name, start in peers.items():
            with tempfile.TemporaryDirectory() as folder:
                begin = time.perf_counter()
                with start(folder) as (process, port):
                    wait_for(lambda: get(port, "/hub/login") == 200, f"{name} to answer")
                    starts[name].append(time.perf_counter() - begin)
                    memory[name].append(memory_at_rest(process.pid))
    compare("hub start to first 200", "s", starts, "0.2 s", lower=True)
    compare("hub memory at rest", "MB", memory, "20 MB", lower=True)


def start_hub(options, folder):
    port = free_port()
    return running([options.hub, "serve", "--state", folder, "--port", str(port)], folder, port)


def start_jupyterhub(options, folder):
    port, api, hub = free_port(), free_port(), free_port()
    configuration = pathlib.Path(folder, "jupyterhub_config.py")
    configuration.write_text(
        f"c.JupyterHub.bind_url = 'http://127.0.0.1:{port}'\n"
        f"c.JupyterHub.hub_bind_url = 'http://127.0.0.1:{hub}'\n"
        "c.JupyterHub.authenticator_class = 'dummy'\n"
        "c.JupyterHub.spawner_class = 'simple'\n"
        "c.Authenticator.allow_all = True\n"
        f"c.ConfigurableHTTPProxy.command = ['{options.chp}']\n"
        f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{api}'\n"
    )
    return running([options.jupyterhub, "-f", str(configuration)], folder, port)


def memory_at_rest(pid):
    """Proportional set size of the process and its children, once it no longer changes by over 1 %."""
    last, end = 0.0, time.monotonic() + WAIT
    while time.monotonic() < end:
        time.sleep(0.5)
        now = sum(pss(process) for process in tree(pid))
        if abs(now - last) <= 0.01 * now:
            return now
        last = now
    raise SystemExit(f"the memory of process {pid} did not come to rest in {WAIT} s")


def pss(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def tree(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(grandchild for child in children for grandchild in tree(child))]


# --- kernel ---------------------------------------------------------------------------------------------------------


def kernels(options):
    peers = {
        "carrel": [options.kernel, "--connection-file"],
        "ipykernel": [sys.executable, "-m", "ipykernel_launcher", "-f"],
    }
    starts = {name: [] for name in peers}
    for _ in range(2 * options.rounds):
        for name, command in peers.items():
            starts[name].append(kernel_start(command))
    compare("kernel start to kernel_info_reply", "s", starts, "0.1 s", lower=True)


def kernel_start(command):
    with tempfile.TemporaryDirectory() as folder:
        file, _ = write_connection_file(os.path.join(folder, "kernel.json"))
        context = zmq.Context()
        # libzmq looks for a kernel that does not listen yet every 100 ms, which would be all that one measures.
        context.reconnect_ivl = 2
        client = BlockingKernelClient(connection_file=file, context=context)
        client.load_connection_file()
        begin = time.perf_counter()
        with running([*command, file], folder, None):
            client.start_channels(hb=False, stdin=False)
            client.kernel_info()
            client.get_shell_msg(timeout=WAIT)
            took = time.perf_counter() - begin
            client.stop_channels()
            return took


# --- proxy ----------------------------------------------------------------------------------------------------------


def proxies(options):
    for program in ("nginx", "wrk"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            print(f"proxy: skipped, {program} is missing (apt install nginx-light wrk)")
            return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        backend = free_port()
        stack.enter_context(nginx(folder, "backend", backend, 'return 200 "hello\\n";'))
        target = f"http://127.0.0.1:{backend}"
        ports = {"carrel": free_port(), "nginx as reverse proxy": free_port()}
        stack.enter_context(running([options.proxy, f"127.0.0.1:{ports['carrel']}", "/", target], folder, None))
        forward = "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';"
        # Without a named upstream nginx opens a connection for each request.
        upstream = f"upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}"
        stack.enter_context(nginx(folder, "proxy", ports["nginx as reverse proxy"], forward, upstream))
        if options.chp:
            ports["configurable-http-proxy"] = free_port()
            command = [options.chp, "--ip=127.0.0.1", f"--port={ports['configurable-http-proxy']}"]
            command += [f"--api-port={free_port()}", f"--default-target={target}", "--log-level=error"]
            stack.enter_context(running(command, folder, None))
        rates = {name: [] for name in ports}
        for name, port in ports.items():
            wait_for(lambda: get(port, "/user/a/") == 200, f"{name} to answer")
        for _ in range(options.rounds):
            for name, port in ports.items():
                rates[name].append(load(port, options.seconds))
    goals = {"nginx as reverse proxy": "0.9 x", "configurable-http-proxy": "10 x"}
    for name in list(ports)[1:]:
        pair = {"carrel": rates["carrel"], name: rates[name]}
        compare("proxy, small reply, 32 connections", "req/s", pair, goals[name], lower=False)


def nginx(folder, name, port, location, outside=""):
    configuration = pathlib.Path(folder, f"{name}.conf")
    configuration.write_text(
        f"daemon off; worker_processes 2; pid {folder}/{name}.pid; error_log stderr crit;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/{name}-body;\n"
        f"  proxy_temp_path {folder}/{name}-proxy; {outside}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }} }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    return running([program, "-c", str(configuration), "-p", folder, "-e", "stderr"], folder, None)


def load(port, seconds):
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", f"http://127.0.0.1:{port}/user/a/"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise SystemExit(f"errors under load on port {port}:\n{report}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1])


# --- common ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(command, folder, port):
    log = open(pathlib.Path(folder, f"{time.monotonic_ns()}.log"), "wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
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


def compare(what, unit, samples, goal, lower):
    (_, ours), *peers = samples.items()
    if not peers:
        print(f"{what:38} {figure(ours, unit):>24}   {'(no peer installed)':56} {'':>6}   {goal}", flush=True)
    for name, theirs in peers:
        ratio = statistics.median(theirs) / statistics.median(ours)
        ratio = ratio if lower else 1 / ratio
        print(f"{what:38} {figure(ours, unit):>24}   {name + ' ' + figure(theirs, unit):56} {ratio:>5.2f}x   {goal}", flush=True)


def figure(samples, unit):
    digits = {"s": 3, "MB": 1, "req/s": 0}[unit]
    middle, low, high = statistics.median(samples), min(samples), max(samples)
    return f"{middle:.{digits}f} {unit} [{low:.{digits}f}-{high:.{digits}f}]"


if __name__ == "__main__":
    main()
