"""A stock JupyterHub and Carrel's Hub with the same accounts and the same fake single-user server."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).parent
LIMIT = 60


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Hub:
    """A Hub that answers, with what was kept of earlier answers."""

    def __init__(self, port):
        self.port = port
        self.kept = {}

    def ask(self, method, path, headers=(), body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def token_of_administrator(self):
        """Logs in by the form, as a browser does, and asks for a token."""
        jar = {}

        def ask(method, path, fields=None, **headers):
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
            headers["Sec-Fetch-Mode"] = "navigate"
            body = None
            if fields is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                body = urllib.parse.urlencode(fields)
            answer = self.ask(method, path, headers, body)
            for cookie in answer.headers.get_all("Set-Cookie") or ():
                name, _, value = cookie.split(";")[0].partition("=")
                jar[name] = value
            return answer

        def xsrf(answer):
            return re.search(rb'name="_xsrf"[^>]*value="([^"]+)"', answer.body)[1].decode()

        form = ask("GET", "/hub/login")
        fields = {"username": "admin", "password": "", "_xsrf": xsrf(form)}
        answer = ask("POST", "/hub/login", fields)
        if answer.status not in (302, 303):
            raise SystemExit(f"the administrator cannot log in: {answer.status} {answer.body[:2000]}")
        page = ask("GET", "/hub/token")
        # JupyterHub's pages hold it in a script, ours in their forms.
        in_script = re.search(rb'xsrf_token: "([^"]+)"', page.body)
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()),
            "X-XSRFToken": in_script[1].decode() if in_script else xsrf(page),
            "Content-Type": "application/json",
        }
        answer = self.ask("POST", "/hub/api/users/admin/tokens", headers, "{}")
        if answer.status != 201:
            raise SystemExit(f"no token for the administrator: {answer.status} {answer.body[:2000]}")
        return answer.json()["token"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, folder, port, environment=None):
    log = folder / "hub.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=out, start_new_session=True, env={**os.environ, **(environment or {})}
        )
    try:
        hub = Hub(port)
        end = time.monotonic() + LIMIT
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if hub.ask("GET", "/hub/api").status == 200:
                    break
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} does not answer:\n{log.read_text()[-4000:]}")
            time.sleep(0.05)
        yield hub
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break


def jupyterhub(folder):
    port = free_port()
    program = pathlib.Path(sys.executable).with_name("jupyterhub")
    command = [program, "-f", HERE / "jupyterhub_config.py", "--JupyterHub.cookie_secret_file=cookie_secret"]
    return running(command, folder, port, {"HUB_PORT": str(port)})


def carrel(folder, program):
    port = free_port()
    (folder / "config.yaml").write_text(
        f"""
JupyterHub: {{ port: {port}, allow_named_servers: true, authenticator_class: dummy }}
Authenticator: {{ admin_users: [admin], allow_all: true }}
Spawner: {{ cmd: ["{sys.executable}", "{HERE / "server.py"}"] }}
"""
    )
    return running([program, "serve", "--config", "config.yaml", "--state", "state"], folder, port)
