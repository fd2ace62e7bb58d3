"""Imports what a stock JupyterHub wrote, and looks for it in Carrel's Hub; the argument is the program `carrel-hub`."""

import contextlib
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import hubs

PYTHON = """
c = get_config()
c.JupyterHub.load_groups = {"readers": ["ada"]}
c.Authenticator.admin_users = {"admin"}
c.Authenticator.allow_all = True
c.Spawner.pre_spawn_hook = print
"""


def expect(answer, status):
    if answer.status != status:
        raise SystemExit(f"expected {status}, found {answer.status}: {answer.body[:2000]}")
    return answer.json() if answer.body else None


def ask(hub, token, method, path, status, body=None):
    headers = {"Authorization": f"token {token}"}
    return expect(hub.ask(method, f"/hub/api{path}", headers, None if body is None else json.dumps(body)), status)


def fill(hub):
    """Users, groups, tokens, servers and a share; returns the tokens."""
    admin = hub.token_of_administrator()
    ask(hub, admin, "POST", "/users", 201, {"usernames": ["ada", "bob"]})
    ask(hub, admin, "POST", "/users", 201, {"usernames": ["root"], "admin": True})
    ask(hub, admin, "POST", "/groups/staff", 201)
    ask(hub, admin, "PUT", "/groups/staff/properties", 200, {"colour": "blue"})
    ask(hub, admin, "POST", "/groups/staff/users", 200, {"users": ["ada", "root"]})
    tokens = {
        "admin": admin,
        "ada": ask(hub, admin, "POST", "/users/ada/tokens", 201, {"note": "for scripts"})["token"],
        "narrow": ask(hub, admin, "POST", "/users/bob/tokens", 201, {"scopes": ["read:users:name!user"]})["token"],
    }
    ask(hub, admin, "POST", "/users/ada/servers/gpu", 201, {})
    ask(hub, admin, "DELETE", "/users/ada/servers/gpu", 204)
    ask(hub, admin, "POST", "/shares/ada/gpu", 200, {"user": "bob"})
    ask(hub, admin, "POST", "/shares/ada/gpu", 200, {"group": "staff"})
    return tokens


def look(hub, tokens):
    """All of it is there, and each token does what it did."""
    admin = tokens["admin"]
    users = {user["name"]: user for user in ask(hub, admin, "GET", "/users", 200)}
    assert set(users) == {"admin", "ada", "bob", "root"}, users
    assert users["root"]["admin"] and not users["ada"]["admin"], users
    assert users["ada"]["groups"] == ["readers", "staff"], users["ada"]
    ada = ask(hub, admin, "GET", "/users/ada?include_stopped_servers", 200)
    assert "gpu" in ada["servers"], ada
    group = ask(hub, admin, "GET", "/groups/staff", 200)
    assert sorted(group["users"]) == ["ada", "root"] and group["properties"] == {"colour": "blue"}, group
    for _ in range(2):
        # Found by JupyterHub's hash, then by this Hub's own.
        assert ask(hub, tokens["ada"], "GET", "/user", 200)["name"] == "ada"
    notes = [token["note"] for token in ask(hub, tokens["ada"], "GET", "/users/ada/tokens", 200)["api_tokens"]]
    assert "for scripts" in notes, notes
    narrow = ask(hub, tokens["narrow"], "GET", "/user", 200)
    assert narrow["name"] == "bob" and "read:users:name!user=bob" in narrow["scopes"], narrow
    ask(hub, tokens["narrow"], "GET", "/users", 403)
    ask(hub, tokens["ada"][:-1] + "!", "GET", "/user", 403)
    shares = ask(hub, admin, "GET", "/shares/ada/gpu", 200)["items"]
    assert {(share["user"] or share["group"])["name"] for share in shares} == {"bob", "staff"}, shares


def import_running(program, folder, state):
    """Imports a copy in which ada's server gpu runs, as `state` says."""
    copy = folder / "running.sqlite"
    shutil.copy(folder / "jupyterhub.sqlite", copy)
    with contextlib.closing(sqlite3.connect(copy)) as database, database:
        server = database.execute(
            "INSERT INTO servers (proto, ip, port, base_url, cookie_name) VALUES ('http', '10.0.0.7', 8888, ?, 'c')",
            ["/user/ada/gpu/"],
        ).lastrowid
        client = ["jupyterhub-user-ada-gpu", "sha512:1:salt:digest"]
        database.execute("DELETE FROM oauth_clients WHERE identifier = ?", client[:1])
        database.execute("INSERT INTO oauth_clients (identifier, secret) VALUES (?, ?)", client)
        change = "UPDATE spawners SET server_id = ?, state = ?, oauth_client_id = ? WHERE name = 'gpu'"
        database.execute(change, [server, json.dumps(state), client[0]])
    folder = tempfile.mkdtemp(dir=folder)
    run = [program, "import-jupyterhub", copy, "--state", folder]
    return subprocess.run(run, capture_output=True, text=True, check=False)


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with hubs.jupyterhub(folder) as hub:
            tokens = fill(hub)
        database = folder / "jupyterhub.sqlite"
        before = database.read_bytes()
        (folder / "jupyterhub_config.py").write_text(PYTHON)
        run = [program, "import-jupyterhub", database, "jupyterhub_config.py", "--state", "state"]
        first = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
        assert first.returncode == 0, first.stderr
        assert database.read_bytes() == before, "JupyterHub's database was changed"
        print(first.stdout)
        assert '  load_groups: {"readers":["ada"]}' in first.stdout, first.stdout
        assert "# jupyterhub_config.py:6: c.Spawner.pre_spawn_hook: " in first.stdout, first.stdout
        again = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
        assert again.returncode == 1 and "has users already" in again.stderr, again.stderr
        process = import_running(program, folder, {"pid": 1})
        assert process.returncode == 1 and "stop JupyterHub: ada/gpu" in process.stderr, process.stderr
        pod = import_running(program, folder, {"pod_name": "jupyter-ada--gpu", "namespace": "hub"})
        assert "(1 run and are adopted)" in pod.stdout, pod.stdout + pod.stderr
        port = hubs.free_port()
        (folder / "config.yaml").write_text(first.stdout)
        command = [program, "serve", "--config", "config.yaml", "--state", "state", "--port", str(port)]
        with hubs.running(command, folder, port) as hub:
            look(hub, tokens)


main()
