"""The stock JupyterHub of the comparison: no proxy, for the REST API is asked directly."""

import os
import sys

from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    """Fake: routes are kept and lead nowhere."""

    should_start = False
    routes = {}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes


c = get_config()  # noqa: F821
hub = os.environ["HUB_PORT"]
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = f"http://127.0.0.1:{hub}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub}"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.allow_named_servers = True
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.Spawner.cmd = [sys.executable, os.path.join(os.path.dirname(__file__), "server.py")]
c.SimpleLocalProcessSpawner.home_dir_template = os.path.join(os.getcwd(), "{username}")
