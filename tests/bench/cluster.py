"""Carrel on a Kubernetes cluster: *Start My Server*, fifty servers at once, and a watch over a thousand pods.

`make bench-cluster` installs Carrel by the playbook, measures, and removes it. Medians of the rounds; the range in
brackets. The Hub's own share of a start is the time from the form to the pod, and that from the server's first answer to
the Hub's saying so.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import http.cookiejar
import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from common import Goal, heading, row, tell

SERVERS = 50
PODS = 1000
WAIT = 180
STEP = 0.01


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cluster = Cluster()
    print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} at the start\n", flush=True)
    with cluster.installation():
        hub = Hub(cluster.address)
        heading()
        one_start(cluster, hub, options.rounds)
        many_starts(cluster, hub)
        many_pods(cluster)


def one_start(cluster, hub, rounds):
    whole, own = [], []
    hub.start_and_stop("admin", {})  # The first one reads the image from the disk.
    for _ in range(rounds):
        with Watch(cluster) as watch:
            begin = time.monotonic()
            hub.start("admin", {})
            made = watch.seen("jupyter-admin")
            address = cluster.pod_address("jupyter-admin")
            answered = until(lambda: answers(f"http://{address}:8888/user/admin/api"), "the server's own answer")
            ready = until(lambda: hub.ready("admin"), "the server to be ready")
        whole.append(ready - begin)
        own.append(made - begin + max(0, ready - answered))
        hub.stop("admin")
    tell("start to JupyterLab answering", "s", {"carrel": whole}, [Goal.at_most(5)])
    tell("of it the Hub's own", "s", {"carrel": own}, [Goal.at_most(0.3)])


def many_starts(cluster, hub):
    image = os.environ["CARREL_TEST_IMAGE"]
    users = [f"user{number:02}" for number in range(SERVERS)]
    options = {"profile": "notebook", "image": "unlisted-choice", "image--unlisted-choice": image}
    for user in users:
        hub.api("POST", f"users/{user}")
    with Watch(cluster) as watch:
        begin = time.monotonic()
        for user in users:
            hub.start(user, options)
        asked = time.monotonic() - begin
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            ends = pool.map(lambda user: until(lambda: hub.ready(user), f"the server of {user}"), users)
            ready = max(ends) - begin
        order = [name for name in watch.names() if name.startswith("jupyter-user")]
    late = max(abs(order.index(f"jupyter-{user}") - place) for place, user in enumerate(users))
    tell(f"{SERVERS} servers asked for", "s", {"carrel": [asked]})
    tell(f"{SERVERS} servers, all ready", "s", {"carrel": [ready]})
    row("pods made out of turn, by places at most", f"{late}", "", "", "", "0", "met" if late == 0 else "NOT MET")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(hub.stop, users))


def many_pods(cluster):
    before = cluster.hub_memory()
    with cluster.fake_pods(PODS):
        after = cluster.hub_memory()
    tell("hub memory", "MB", {"carrel": [before]})
    tell(f"hub memory, {PODS} pods in the watch", "MB", {"carrel": [after]})


class Hub:
    """The Hub's pages and API as the user admin."""

    def __init__(self, address):
        self.address = address
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.form(browser, "hub/login", {"username": "admin", "password": ""})
        page = self.form(browser, "hub/token", {"note": "benchmark", "expires_in": "3600"})
        self.token = re.search(r'id="new-token"[^>]* value="([^"]+)"', page)[1]

    def form(self, browser, path, fields):
        page = browser.open(self.address + path, timeout=WAIT).read().decode()
        fields["_xsrf"] = re.search(r'name="_xsrf"[^>]* value="([^"]+)"', page)[1]
        data = urllib.parse.urlencode(fields).encode()
        return browser.open(self.address + path, data, timeout=WAIT).read().decode()

    def api(self, method, path, body=None):
        request = urllib.request.Request(f"{self.address}hub/api/{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return json.loads(answer.read() or b"null")

    def start(self, user, options):
        self.api("POST", f"users/{user}/server", options)

    def ready(self, user):
        server = self.api("GET", f"users/{user}/server")
        if server["stopped"]:
            raise SystemExit(f"the server of {user} did not start: {server}")
        return server["ready"]

    def stop(self, user):
        self.api("DELETE", f"users/{user}/server")
        until(lambda: self.api("GET", f"users/{user}/server")["stopped"], f"the end of {user}'s server")

    def start_and_stop(self, user, options):
        self.start(user, options)
        until(lambda: self.ready(user), f"the server of {user}")
        self.stop(user)


class Cluster:
    """What `deploy/local/with-cluster` hands over."""

    def __init__(self):
        self.address = os.environ["CARREL_TEST_ADDRESS"]

    @contextlib.contextmanager
    def installation(self):
        values = {
            "hub": {"db": {"type": "sqlite-memory"}, "config": {"Authenticator": {"allow_all": True}}},
            "singleuser": {"storage": {"type": "none"}, "memory": {"guarantee": None}},
        }
        self.playbook("ai.yaml", {"hub_values": values})
        try:
            until(lambda: answers(self.address + "hub/health"), "the Hub to answer")
            yield
        finally:
            if not os.environ.get("KEEP_CLUSTER"):
                self.playbook("uninstall.yaml", {"hub_remove_data": True})

    def playbook(self, name, variables):
        command = [os.environ["CARREL_TEST_ANSIBLE_PLAYBOOK"], "-i", os.environ["CARREL_TEST_INVENTORY"], name]
        done = subprocess.run(
            [*command, "-e", json.dumps(variables)], cwd="deploy/ansible", capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout}\n{done.stderr}")

    def kubectl(self, *arguments, text=None):
        done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=True)
        return done.stdout

    def pod_address(self, name):
        def address():
            return self.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}")

        until(address, f"the address of {name}")
        return address()

    def hub_memory(self):
        """Working set in MB as the kubelet tells it, once it no longer changes by over 1 %."""
        node = self.kubectl("get", "pod", "tf-hub-0", "-o", "jsonpath={.spec.nodeName}")
        last, end = 0, time.monotonic() + WAIT
        while time.monotonic() < end:
            summary = json.loads(self.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
            hub = next(pod for pod in summary["pods"] if pod["podRef"]["name"] == "tf-hub-0")
            memory = hub["containers"][0]["memory"]
            now = memory["workingSetBytes"] / 2**20
            if abs(now - last) <= 0.01 * now:
                return now
            last = now
            time.sleep(12)  # The kubelet looks every ten seconds.
        raise SystemExit("the Hub's memory did not come to rest")

    @contextlib.contextmanager
    def fake_pods(self, count):
        """Pods of a node that there is not, said to run: objects alone."""
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake"}}
        self.kubectl("create", "-f", "-", text=json.dumps(node))
        try:
            with self.proxy() as port:
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    list(pool.map(lambda number: fake_pod(port, number), range(count)))
            yield
        finally:
            self.kubectl("delete", "pods", "-l", "fake=yes", "--grace-period=0", "--force", "--wait=false")
            self.kubectl("delete", "node", "fake")

    @contextlib.contextmanager
    def proxy(self):
        proxy = subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
        try:
            yield int(re.search(r":(\d+)", proxy.stdout.readline())[1])
        finally:
            proxy.terminate()
            proxy.wait()


class Watch:
    """When each pod was first seen, by a watch of the API server."""

    def __init__(self, cluster):
        command = ["kubectl", "get", "pods", "--watch-only", "-o", "name"]
        self.pods = {}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.pods.setdefault(line.strip().removeprefix("pod/"), time.monotonic())

    def seen(self, name):
        until(lambda: name in self.pods, f"the pod {name}")
        return self.pods[name]

    def names(self):
        return list(self.pods)

    def __enter__(self):
        time.sleep(1)  # kubectl does not tell when its watch is on.
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def fake_pod(port, number):
    path = "/api/v1/namespaces/default/pods"
    labels = {"component": "singleuser-server", "fake": "yes"}
    containers = [{"name": "notebook", "image": "localhost/fake:1"}]
    pod = {"metadata": {"name": f"fake-{number}", "labels": labels}, "spec": {"nodeName": "fake", "containers": containers}}
    status = {
        "phase": "Running",
        "podIP": f"10.99.{number // 250}.{number % 250}",
        "containerStatuses": [
            {"name": "notebook", "image": "localhost/fake:1", "imageID": "", "ready": True, "restartCount": 0}
        ],
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    for method, path, body in [
        ("POST", path, pod),
        ("PATCH", f"{path}/fake-{number}/status", {"status": status}),
    ]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, json.dumps(body), {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:300]}")
    connection.close()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status < 500
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def until(condition, what):
    """The time at which the condition held."""
    end = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {WAIT} s for {what}")
        time.sleep(STEP)
    return time.monotonic()


if __name__ == "__main__":
    main()
