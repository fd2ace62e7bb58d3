#!/usr/bin/env bash
# JupyterHub 6.1.1: a user of the REST API and a user of the login page are two. The login page makes names lower-case;
# `POST /hub/api/users/:name` does not (only the list form `POST /hub/api/users` does), so that an administrator who adds
# "Ada" gets a second account beside the "ada" who logs in, and nobody can log in as the first. And a PATCH that says
# the name a user has already (as a client does that sends back the model it has read, with one key changed) leaves the
# user without any name: it is null from then on, and found under no address. Seen with jupyterhub 6.1.1 and Python 3.11:
#
#   POST  /hub/api/users/Ada                          201  name "Ada"
#   POST  /hub/api/users  {"usernames": ["Ada"]}      201  name "ada"
#   PATCH /hub/api/users/bob  {"name": "bob"}         200  name null
#   GET   /hub/api/users/bob                          404
#
# Exits 1 when a release answers otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${hub:-0}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --disable-pip-version-check -q jupyterhub==6.1.1
cd "$folder"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >config.py <<PYTHON
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    should_start = False

    async def add_route(self, *_): ...
    async def delete_route(self, *_): ...
    async def get_all_routes(self):
        return {}


c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = "http://127.0.0.1:$port"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.services = [{"name": "tester", "api_token": "token-of-the-tester", "admin": True}]
PYTHON
venv/bin/jupyterhub -f config.py >hub.log 2>&1 &
hub=$!
venv/bin/python - "$port" <<'PYTHON'
import json
import sys
import time
import urllib.error
import urllib.request


def ask(method, path, body=None):
    headers = {"Authorization": "token token-of-the-tester"}
    data = None if body is None else json.dumps(body).encode()
    url = f"http://127.0.0.1:{sys.argv[1]}/hub/api{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            answer = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        answer = error.code, json.load(error)
    print(method, path, body or "", answer[0], json.dumps(answer[1])[:120])
    return answer


for _ in range(300):
    try:
        ask("GET", "/")
        break
    except urllib.error.URLError:
        time.sleep(0.1)
one, many = ask("POST", "/users/Ada"), ask("POST", "/users", {"usernames": ["Ada"]})
assert (one[0], one[1]["name"]) == (201, "Ada"), one
assert (many[0], many[1][0]["name"]) == (201, "ada"), many
ask("POST", "/users/bob")
same = ask("PATCH", "/users/bob", {"name": "bob"})
assert (same[0], same[1]["name"]) == (200, None), same
assert ask("GET", "/users/bob")[0] == 404
PYTHON
