"""Many starts at once, and a Hub that comes back to as many running servers, beside JupyterHub; and a login."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

from argon2.low_level import Type, hash_secret_raw

from common import Goal, tell

STARTS = 500
LOGINS = 10
PATIENCE = 600
ARGON2 = "argon2id alone"


def measure(options, peer, starters, call, users):
    """`starters` begin a Hub by its folder and the program that is a server; `call` asks its API."""
    starts, again = {name: [] for name in starters}, {name: [] for name in starters}
    for name, start in starters.items():
        with tempfile.TemporaryDirectory() as folder:
            # By this path alone they are found again: they live longer than their Hub.
            server = shutil.copy(options.ends, folder)
            try:
                with start(folder, [server, "server"]) as (process, port):
                    users(port)
                    starts[name].append(time_of_starts(port, call))
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                begin = time.perf_counter()
                with start(folder, [server, "server"]) as (_, port):
                    wait_for_servers(port, call)
                    again[name].append(time.perf_counter() - begin)
            finally:
                subprocess.run(["pkill", "-9", "-f", server], check=False)
    tell(f"hub, {STARTS} starts at once, all ready", "s", starts, [Goal.of_peer(peer, 0.2)])
    tell(f"hub killed, back to {STARTS} servers, all ready", "s", again, [Goal.at_most(1)])


def time_of_starts(port, call):
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(32) as threads:
        ask = lambda number: call(port, "POST", f"/users/user{number}/server", {})
        list(threads.map(ask, range(STARTS)))
    wait_for_servers(port, call)
    return time.perf_counter() - begin


def wait_for_servers(port, call):
    end = time.monotonic() + PATIENCE
    ready = 0
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
            pages = [call(port, "GET", f"/users?state=active&limit=200&offset={page * 200}", None) for page in range(3)]
            servers = [server for page in pages for user in page for server in user["servers"].values()]
            ready = sum(server["ready"] for server in servers)
            if ready == STARTS:
                return
        time.sleep(0.2)
    raise SystemExit(f"{ready} of {STARTS} servers were ready after {PATIENCE} s")


def measure_logins(starters):
    """Beside the password's hash alone, with the costs that the Hub chose (those of the crate argon2)."""
    times = {name: [] for name in starters}
    times[ARGON2] = []
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, start in starters.items():
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            _, ports[name] = stack.enter_context(start(folder, ["true"]))
        for _ in range(LOGINS):
            for name, port in ports.items():
                times[name].append(time_of_login(port))
            begin = time.perf_counter()
            hash_secret_raw(b"", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID)
            times[ARGON2].append(time.perf_counter() - begin)
    tell("hub, login by the form", "s", times, [Goal.of_peer(ARGON2, 1.5)])


def time_of_login(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/hub/login", headers={"Sec-Fetch-Mode": "navigate"})
    form = connection.getresponse()
    xsrf = re.search(rb'name="_xsrf"[^>]*value="([^"]+)"', form.read())[1].decode()
    cookies = "; ".join(cookie.split(";")[0] for cookie in form.headers.get_all("Set-Cookie"))
    fields = urllib.parse.urlencode({"username": "admin", "password": "", "_xsrf": xsrf})
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": cookies,
        "Sec-Fetch-Mode": "navigate",
    }
    begin = time.perf_counter()
    connection.request("POST", "/hub/login", fields, headers)
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - begin
    connection.close()
    if answer.status not in (302, 303):
        raise SystemExit(f"a login at port {port} was answered with {answer.status}")
    return took
