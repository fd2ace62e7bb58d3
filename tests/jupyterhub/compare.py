"""Asks a stock JupyterHub and Carrel's Hub the same and tells where they differ: `compare.py CARREL_HUB`."""

import contextlib
import difflib
import json
import pathlib
import re
import sys
import tempfile
import time
import tomllib

import hubs
import scenario
from request import Wait

HERE = pathlib.Path(__file__).parent
#: Values that no two Hubs share, by key.
OWN = {"token", "id", "token_id", "session_id", "started", "created", "created_at", "last_activity", "expires_at", "pid"}
OWN |= {"python", "sys_executable", "target", "code", "accept_url", "full_accept_url", "exchanged_at", "last_exchanged_at"}
#: Lists that are sets.
SETS = {"scopes", "roles", "groups", "users"}


def main():
    with contextlib.ExitStack() as stack:
        folders = [pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        stock = stack.enter_context(hubs.jupyterhub(folders[0]))
        ours = stack.enter_context(hubs.carrel(folders[1], sys.argv[1]))
        for hub in (stock, ours):
            hub.kept["admin"] = hub.token_of_administrator()
        found = dict(compare(stock, ours))
    return tell(found)


def compare(stock, ours):
    """Each request's name, with the difference or nothing."""
    names = set()
    for step in scenario.scenario():
        if isinstance(step, Wait):
            for hub in (stock, ours):
                wait(hub, step)
            continue
        if step.name in names:
            raise SystemExit(f"two requests are called {step.name!r}")
        names.add(step.name)
        yield step.name, difference(*(tell_answer(ask(hub, step)) for hub in (stock, ours)))


def ask(hub, request):
    headers = dict(request.headers)
    if request.who is not None:
        headers["Authorization"] = f"token {hub.kept.get(request.who, 'not-to-be-had')}"
    body = request.body
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = body if isinstance(body, bytes) else json.dumps(body)
    path = re.sub(r"\{(\w+)\}", lambda found: hub.kept.get(found[1], "not-to-be-had"), request.path)
    answer = hub.ask(request.method, f"/hub/api{path}", headers, body)
    for name, key in request.keep.items():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            hub.kept[name] = answer.json()[key]
    return answer


def wait(hub, step):
    """The stock Hub decides when an answer comes; ours must come to the same state."""
    end = time.monotonic() + hubs.LIMIT
    while time.monotonic() < end:
        headers = {"Authorization": f"token {hub.kept['admin']}"}
        user = hub.ask("GET", f"/hub/api/users/{step.user}?include_stopped_servers=1", headers).json()
        server = user["servers"].get(step.server)
        if {
            "ready": server is not None and server["ready"],
            "stopped": server is None or server["stopped"] and not server["pending"],
            "gone": server is None,
        }[step.state]:
            return
        time.sleep(0.05)
    print(f"{step.user}/{step.server} is not {step.state} after {hubs.LIMIT} s on port {hub.port}", file=sys.stderr)


def tell_answer(answer):
    """Status and body, without what is each Hub's own."""
    kind = (answer.headers["Content-Type"] or "").split(";")[0]
    body = answer.body.decode(errors="replace")
    if kind == "application/json" and body:
        with contextlib.suppress(ValueError):
            body = normal(json.loads(body))
    elif kind == "text/event-stream":
        body = [normal(json.loads(line[6:])) for line in body.splitlines() if line.startswith("data: ")]
    else:
        body = {"text": bool(body)}
    return {"status": answer.status, "body": body}


def normal(value, key=None):
    match value:
        case dict():
            if key == "state" or key == "user_options" and not value:
                return None
            return {name: normal(inner, name) for name, inner in sorted(value.items())}
        case list():
            inner = [normal(inner, key if key == "items" else None) for inner in value]
            return sorted(inner, key=json.dumps) if key in SETS else inner
        case str() | int() if key in OWN and not isinstance(value, bool):
            return f"<{key}>"
        case str():
            return re.sub(r"\b[0-9a-f]{32,64}\b", "<secret>", re.sub(r"127\.0\.0\.1:\d+", "<hub>", value))
    return value


def difference(stock, ours):
    """A unified diff; nothing where all is the same."""
    texts = [json.dumps(answer, indent=1).splitlines() for answer in (stock, ours)]
    lines = difflib.unified_diff(*texts, "JupyterHub", "Carrel", n=2, lineterm="")
    only_message = stock["status"] == ours["status"] and without_message(stock) == without_message(ours)
    return {"lines": list(lines), "only_message": only_message} if texts[0] != texts[1] else None


def without_message(answer):
    body = answer["body"]
    return {**body, "message": None} if isinstance(body, dict) and body.get("message") else body


def tell(found):
    listed = tomllib.loads((HERE / "differences.toml").read_text())
    on_purpose = {name for entry in listed["on_purpose"] for name in entry["requests"]}
    # Words of a message may say more than JupyterHub's; that there is one may not differ.
    differ = {name for name, difference in found.items() if difference and not difference["only_message"]}
    for name in sorted(differ - on_purpose):
        print(f"== {name}", *found[name]["lines"][2:], sep="\n")
    alike = sum(difference is None for difference in found.values())
    to_do = len(differ - on_purpose)
    print(
        f"{len(found)} requests: {alike} answered alike, {len(found) - alike - len(differ)} in other words,"
        f" {len(differ & on_purpose)} otherwise on purpose, {to_do} still to do"
    )
    wrong = [f"{name!r} is listed as different and is not, or is no request" for name in sorted(on_purpose - differ)]
    if to_do != listed["still_to_do"]:
        wrong.append(f"differences.toml says that {listed['still_to_do']} are still to do, not {to_do}")
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
