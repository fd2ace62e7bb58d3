"""The proxy apart beside nginx and configurable-http-proxy: requests, websocket messages, memory of idle websockets."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile

from common import Goal, free_port, get, memory_at_rest, running, tell, wait_for

OURS, NGINX, CHP = "carrel", "nginx as reverse proxy", "configurable-http-proxy"
IDLE = 1000


def measure(options):
    for program in ("nginx", "wrk"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            print(f"proxy: skipped, {program} is missing (apt install nginx-light wrk)")
            return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    measure_requests(options)
    measure_websockets(options)


def measure_requests(options):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        backend = free_port()
        stack.enter_context(nginx(folder, "backend", backend, 'return 200 "hello\\n";'))
        ports = proxies(options, folder, backend, stack)
        rates = {name: [] for name in ports}
        for name, (_, port) in ports.items():
            wait_for(lambda: get(port, "/user/a/") == 200, f"{name} to answer")
        for _ in range(options.rounds):
            for name, (_, port) in ports.items():
                rates[name].append(load(port, options.seconds))
    goals = [Goal.times_as_fast(NGINX, 0.95), Goal.times_as_fast(CHP, 10)]
    tell("proxy, small reply, 32 connections", "req/s", rates, goals)


def measure_websockets(options):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        backend = free_port()
        stack.enter_context(running([options.ends, "echo", f"127.0.0.1:{backend}"], folder, None))
        ports = proxies(options, folder, backend, stack)
        rates, idle = {name: [] for name in ports}, {name: [] for name in ports}
        for name, (_, port) in ports.items():
            # The far end takes nothing but websockets, and closes the connection.
            wait_for(lambda: get(port, "/user/a/") > 0, f"{name} to answer")
        for _ in range(options.rounds):
            for name, (process, port) in ports.items():
                url = f"ws://127.0.0.1:{port}/user/a/"
                command = [options.ends, "round-trips", url, "32", str(options.seconds)]
                report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                rates[name].append(float(report))
                idle[name].append(memory_of_idle(options, process.pid, url))
    tell("proxy, websocket round trips, 32 at once", "1/s", rates, [Goal.times_as_fast(CHP, 5)])
    tell(f"proxy, memory of each of {IDLE} idle websockets", "KB", idle, [Goal.at_most(12)])


def memory_of_idle(options, pid, url):
    before = memory_at_rest(pid)
    command = [options.ends, "idle", url, str(IDLE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        if client.stdout.readline() != "open\n":
            raise SystemExit(f"{IDLE} websockets could not be opened at {url}")
        after = memory_at_rest(pid)
        client.stdin.close()
    return 1024 * (after - before) / IDLE


def proxies(options, folder, backend, stack):
    """Process and port of each proxy, all of whose requests go on to this port."""
    target = f"http://127.0.0.1:{backend}"
    commands = {OURS: [options.hub, "proxy", "--state", folder]}
    if options.chp:
        commands[CHP] = [options.chp]
    ports = {}
    for name, command in commands.items():
        port = free_port()
        command += ["--ip=127.0.0.1", f"--port={port}", f"--api-port={free_port()}"]
        command += [f"--default-target={target}", "--log-level=error"]
        ports[name] = (stack.enter_context(running(command, folder, None)), port)
    forward = (
        "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection $hop;"
        "proxy_set_header Upgrade $http_upgrade; proxy_read_timeout 600;"
    )
    # Without a named upstream nginx opens a connection for each request.
    upstream = (
        f"upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}"
        "map $http_upgrade $hop { default upgrade; '' ''; }"
    )
    port = free_port()
    ports[NGINX] = (stack.enter_context(nginx(folder, "proxy", port, forward, upstream)), port)
    return ports


def nginx(folder, name, port, location, outside=""):
    configuration = pathlib.Path(folder, f"{name}.conf")
    configuration.write_text(
        f"daemon off; worker_processes 2; pid {folder}/{name}.pid; error_log stderr crit;\n"
        f"events {{ worker_connections 8192; }}\n"
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
