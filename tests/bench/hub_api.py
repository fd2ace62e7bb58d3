"""The Hub's REST API beside JupyterHub's, with 5,000 users: requests per second, start and memory."""

import contextlib
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import hub_starts
from common import Goal, free_port, get, memory_at_rest, running, tell, wait_for

TOKEN = "0123456789abcdef0123456789abcdef"
PEER = "JupyterHub 6.1"
USERS = 5000
AT_ONCE = 250


def measure(options):
    if not shutil.which("wrk"):
        print("hub: its API is skipped, wrk is missing (apt install wrk)")
        return
    starters = {"carrel": start_hub, PEER: start_jupyterhub}
    rates = {what: {name: [] for name in starters} for what in ("user", "users")}
    starts, memory = {name: [] for name in starters}, {name: [] for name in starters}
    measure_starts(options)
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(tempfile.TemporaryDirectory(dir=root)) for name in starters}
        for name, start in starters.items():
            with ready(start, options, folders[name]) as (_, port):
                add_users(port)
        for _ in range(options.rounds):
            for name, start in starters.items():
                begin = time.perf_counter()
                with ready(start, options, folders[name]) as (process, port):
                    starts[name].append(time.perf_counter() - begin)
                    token = call(port, "POST", "/users/user0/tokens", {})["token"]
                    rates["user"][name].append(rate(port, "/hub/api/user", token, options.seconds))
                    rates["users"][name].append(rate(port, "/hub/api/users?limit=50", TOKEN, options.seconds))
                    memory[name].append(memory_at_rest(process.pid))
    tell("hub api, GET /user by a token", "req/s", rates["user"], [Goal.times_as_fast(PEER, 60)])
    tell("hub api, GET /users, 50 of 5,000", "req/s", rates["users"], [Goal.times_as_fast(PEER, 60)])
    tell("hub start with 5,000 users", "s", starts, [Goal.at_most(1)])
    tell("hub memory with 5,000 users, after load", "MB", memory)


def measure_starts(options):
    """The same Hubs, with a server program that starts in no time."""
    hubs = {"carrel": start_hub, PEER: start_jupyterhub}
    starters = {name: lambda folder, server, hub=hub: ready(hub, options, folder, server) for name, hub in hubs.items()}
    hub_starts.measure(options, PEER, starters, call, add_users)
    hub_starts.measure_logins(starters)


def add_users(port):
    for first in range(0, USERS, AT_ONCE):
        names = [f"user{number}" for number in range(first, first + AT_ONCE)]
        call(port, "POST", "/users", {"usernames": names})


@contextlib.contextmanager
def ready(start, options, folder, server=("jupyterhub-singleuser",)):
    with start(options, folder, server) as (process, port):
        wait_for(lambda: get(port, "/hub/health") == 200, "a Hub to answer")
        yield process, port


def start_hub(options, folder, server):
    port = free_port()
    configuration = pathlib.Path(folder, "carrel.yaml")
    service = {"name": "bench", "api_token": TOKEN, "admin": True}
    settings = {"services": [service], "slow_spawn_timeout": 0, "cleanup_servers": False}
    configuration.write_text(json.dumps({"JupyterHub": settings, "Spawner": {"cmd": list(server)}}))
    command = [options.hub, "serve", "--state", folder, "--port", str(port), "--config", str(configuration)]
    return running(command, folder, port)


def start_jupyterhub(options, folder, server):
    """Asked at the Hub's own port, without its proxy, as single-user servers do."""
    hub = free_port()
    configuration = pathlib.Path(folder, "jupyterhub_config.py")
    configuration.write_text(
        f"c.JupyterHub.hub_bind_url = 'http://127.0.0.1:{hub}'\n"
        f"c.JupyterHub.bind_url = 'http://127.0.0.1:{free_port()}'\n"
        "c.JupyterHub.authenticator_class = 'dummy'\n"
        "c.JupyterHub.spawner_class = 'simple'\n"
        "c.Authenticator.allow_all = True\n"
        f"c.JupyterHub.services = [{{'name': 'bench', 'api_token': '{TOKEN}', 'admin': True}}]\n"
        f"c.Spawner.cmd = {list(server)!r}\n"
        "c.JupyterHub.cleanup_servers = False\n"
        "c.JupyterHub.concurrent_spawn_limit = 0\n"
        "c.JupyterHub.tornado_settings = {'slow_spawn_timeout': 0}\n"
        f"c.ConfigurableHTTPProxy.command = ['{options.chp}']\n"
        f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{free_port()}'\n"
    )
    return running([options.jupyterhub, "-f", str(configuration)], folder, hub)


def call(port, method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    connection.request(method, f"/hub/api{path}", None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {text[:200]!r}")
    return json.loads(text) if text else None


def rate(port, path, token, seconds):
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-H", f"Authorization: token {token}"]
    report = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in report:
        raise SystemExit(f"{path}: {report}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", report).group(1))
