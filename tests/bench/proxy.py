"""The proxy beside nginx and configurable-http-proxy: requests per second."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from common import Goal, free_port, get, running, tell, wait_for


def measure(options):
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
    goals = [Goal.times_as_fast("nginx as reverse proxy", 0.9), Goal.times_as_fast("configurable-http-proxy", 10)]
    tell("proxy, small reply, 32 connections", "req/s", rates, goals)


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
