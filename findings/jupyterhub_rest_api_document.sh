#!/usr/bin/env bash
# JupyterHub 6.1.1: the OpenAPI document of its REST API (docs/source/_static/rest-api.yml of the source package) is not what
# it answers, so that a client made from it by a generator with strict types fails at its first answers: the list of services
# is an array there and an object by names in truth, and what a user's model has no value for is null, where the document knows
# none (`pending`, `server`). Hand-written clients, jupyterhub-idle-culler and single-user servers among them, know it.
# Seen with jupyterhub 6.1.1 and Python 3.11:
#
#   GET /services: documented array, answered dict
#   GET /users/ada, pending: documented string, answered NoneType
#   GET /users/ada, server: documented string, answered NoneType
#
# Exits 1 when a release differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --disable-pip-version-check -q jupyterhub==6.1.1 PyYAML==6.0.4
venv/bin/pip download --disable-pip-version-check -q --no-deps --no-binary jupyterhub jupyterhub==6.1.1
tar xzf jupyterhub-6.1.1.tar.gz jupyterhub-6.1.1/docs/source/_static/rest-api.yml
cat >jupyterhub_config.py <<'PYTHON'
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    """Nothing comes by way of it here."""

    async def start(self):
        pass

    async def stop(self):
        pass

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {}


c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.hub_bind_url = "http://127.0.0.1:18981"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.services = [{"name": "reader", "api_token": "a-token-of-the-reader", "admin": True}]
PYTHON
venv/bin/jupyterhub >hub.log 2>&1 &
hub=$!
trap 'kill $hub; rm -rf "$folder"' EXIT
venv/bin/python - <<'PYTHON'
import json
import sys
import time
import urllib.request

import yaml


def ask(method, path):
    request = urllib.request.Request("http://127.0.0.1:18981/hub/api" + path, method=method)
    request.add_header("Authorization", "token a-token-of-the-reader")
    return json.load(urllib.request.urlopen(request))


for _ in range(300):
    try:
        ask("GET", "/")
        break
    except OSError:
        time.sleep(0.2)
document = yaml.safe_load(open("jupyterhub-6.1.1/docs/source/_static/rest-api.yml"))
list_of_services = document["paths"]["/services"]["get"]["responses"][200]["content"]["application/json"]["schema"]
user = document["components"]["schemas"]["User"]["properties"]
ask("POST", "/users/ada")
ada = ask("GET", "/users/ada")
seen = [("/services", list_of_services["type"], type(ask("GET", "/services")).__name__)]
seen += [(f"/users/ada, {key}", user[key]["type"], type(ada[key]).__name__) for key in ("pending", "server")]
for path, documented, answered in seen:
    print(f"GET {path}: documented {documented}, answered {answered}")
sys.exit([kinds[1:] for kinds in seen] != [("array", "dict"), ("string", "NoneType"), ("string", "NoneType")])
PYTHON
