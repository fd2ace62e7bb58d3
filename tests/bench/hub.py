"""The Hub beside JupyterHub with its proxy: start and memory."""

import pathlib
import tempfile
import time

import hub_api
from common import Goal, free_port, get, memory_at_rest, running, tell, wait_for


def measure(options):
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
    tell("hub start to first 200", "s", starts, [Goal.at_most(0.2)])
    tell("hub memory at rest", "MB", memory, [Goal.at_most(20)])
    if options.chp:
        hub_api.measure(options)


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
