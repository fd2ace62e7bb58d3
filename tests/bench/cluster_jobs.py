"""The operator beside the last one of Kubeflow's that was written in Go, on the same cluster, one after the other.

Each runs as a process outside of the cluster, with a ServiceAccount of its own, so that the API server counts its requests
apart (`apiserver_flowcontrol_dispatched_requests_total`, by a FlowSchema for each). The jobs' pods name a scheduler that
there is not: what is measured is the making of pods, not their start. training-operator sends 20 requests a second unless
it is told otherwise, so it is measured as it is installed and with `--kube-api-qps=1000 --controller-threads=8`.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time

from common import OURS, Goal, free_port, heading, memory_at_rest, running, tell

REPLICAS = 4
AT_ONCE = 200
HELD = 1000
ROUNDS = 7
WAIT = 600
GO = "training-operator 1.9.3"
UNLEASHED = "the same, 1000 qps"
FREE = ["--kube-api-qps=1000", "--kube-api-burst=1000", "--controller-threads=8"]
COUNTER = "apiserver_flowcontrol_dispatched_requests_total"


def main():
    options = parser().parse_args()
    cluster = Cluster()
    print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} at the start\n", flush=True)
    found = {OURS: Measured(), GO: Measured(), UNLEASHED: Measured()}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        with cluster.namespace("bench-carrel") as namespace, ours(cluster, work, namespace, options.operator) as process:
            found[OURS].measure(cluster, namespace, process)
        for name, arguments in [(UNLEASHED, FREE), (GO, [])]:
            space = "bench-go-" + ("free" if arguments else "default")
            with (
                cluster.namespace(space) as namespace,
                theirs(cluster, work, namespace, options, arguments) as process,
            ):
                # As it is installed it would take half an hour for so many.
                found[name].measure(cluster, namespace, process, held=HELD if arguments else None)
    heading()
    report(found)


def parser():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operator", required=True, help="carrel-operator")
    parser.add_argument("--training-operator", required=True, help="training-operator.v1")
    parser.add_argument("--crds", required=True, help="the folder of its CustomResourceDefinitions")
    return parser


def report(found):
    def tell_all(what, unit, key, goals):
        samples = {name: getattr(measured, key) for name, measured in found.items()}
        tell(what, unit, {name: values for name, values in samples.items() if values}, goals)

    both = [Goal.of_peer(GO, 0.5), Goal.of_peer(UNLEASHED, 0.5)]
    tell_all(f"one job until its {REPLICAS} pods exist", "s", "one", [Goal.at_most(0.3), *both])
    tell_all(f"{AT_ONCE} jobs until {AT_ONCE * REPLICAS} pods exist", "s", "many", both)
    tell_all("API requests of each of these", "times", "requests", both)
    tell_all(f"memory at {HELD} jobs", "MB", "memory", [Goal.at_most(25), Goal.of_peer(UNLEASHED, 0.3)])


class Measured:
    """The figures of one operator: seconds, seconds, requests a job, MB."""

    def __init__(self):
        self.one, self.many, self.requests, self.memory = [], [], [], []

    def measure(self, cluster, namespace, process, held=HELD):
        with Pods(cluster, namespace) as pods:
            # The first one also waits for the operator to come up.
            made(cluster, namespace, pods, ["first"], REPLICAS)
            for number in range(ROUNDS):
                self.one.append(made(cluster, namespace, pods, [f"one-{number}"], REPLICAS))
            before = cluster.requests(namespace)
            self.many.append(made(cluster, namespace, pods, [f"many-{number}" for number in range(AT_ONCE)], REPLICAS))
            self.requests.append((cluster.settled(namespace) - before) / AT_ONCE)
            if held:
                rest = held - AT_ONCE - ROUNDS - 1
                made(cluster, namespace, pods, [f"held-{number}" for number in range(rest)], 1)
                cluster.settled(namespace)
                self.memory.append(memory_at_rest(process.pid))


def made(cluster, namespace, pods, names, replicas):
    """Creates the jobs, and gives the seconds until all of their pods exist."""
    wanted = {f"{name}-worker-{index}" for name in names for index in range(replicas)}
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: cluster.create(namespace, job(name, replicas)), names))
    return pods.wait(wanted) - begin


def job(name, replicas):
    container = {"name": "tensorflow", "image": "localhost/none:1"}
    pod = {"schedulerName": "nobody", "containers": [container]}
    worker = {"replicas": replicas, "restartPolicy": "Never", "template": {"spec": pod}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": name},
        "spec": {"tfReplicaSpecs": {"Worker": worker}},
    }


@contextlib.contextmanager
def ours(cluster, work, namespace, program):
    definitions = subprocess.run([program, "crds"], capture_output=True, text=True, check=True).stdout
    cluster.kubectl("create", "-f", "-", text=definitions)
    host, port = cluster.own_address(), free_port()
    command = [program, "run", "--own-namespace", namespace, f"--webhook-url=https://{host}:{port}/convert"]
    command += [f"--webhook-listen={host}:{port}", f"--listen=127.0.0.1:{free_port()}"]
    command += [f"--report-listen={host}:{free_port()}", f"--report-url=https://{host}:{free_port()}"]
    with running(command, work, None, cluster.environment(work, namespace)) as process:
        # It tells the API server of its webhook, which answers what it is asked meanwhile by 503.
        strategy = ["get", "crd", "tfjobs.kubeflow.org", "-o", "jsonpath={.spec.conversion.strategy}"]
        until(lambda: cluster.kubectl(*strategy) == "Webhook", "the operator's webhook")
        time.sleep(5)
        yield process
    cluster.forget_definitions()


@contextlib.contextmanager
def theirs(cluster, work, namespace, options, arguments):
    """Its webhook is told to nobody: it would be asked at an address inside of the cluster."""
    definitions = sorted(pathlib.Path(options.crds).glob("kubeflow.org_*.yaml"))
    for definition in definitions:
        cluster.kubectl("create", "-f", str(definition))
    secret = "training-operator-webhook-cert"
    cluster.kubectl("create", "secret", "generic", secret, "-n", namespace)
    cluster.create_any("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "validator.training-operator.kubeflow.org"},
        "webhooks": [],
    })
    environment = cluster.environment(work, namespace) | {"MY_POD_NAMESPACE": namespace}
    listen = [f"--metrics-bind-address=127.0.0.1:{free_port()}", f"--health-probe-bind-address=127.0.0.1:{free_port()}"]
    command = [options.training_operator, *listen, f"--webhook-server-port={free_port()}", *arguments]
    try:
        with running(command, work, None, environment) as process:
            bring_certificate(cluster, namespace, secret)
            yield process
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", "validator.training-operator.kubeflow.org")
        cluster.forget_definitions()


def bring_certificate(cluster, namespace, secret):
    """What the kubelet does where it runs in a pod: the Secret that it fills becomes files."""
    folder = pathlib.Path("/tmp/k8s-webhook-server/serving-certs")
    folder.mkdir(parents=True, exist_ok=True)

    def data():
        return json.loads(cluster.kubectl("get", "secret", secret, "-n", namespace, "-o", "json")).get("data")

    until(data, "the certificate of training-operator")
    for name, content in data().items():
        (folder / name).write_bytes(base64.b64decode(content))


class Cluster:
    """The cluster of KUBECONFIG, by `kubectl proxy`."""

    def __init__(self):
        self.proxy = subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)", self.proxy.stdout.readline())[1])
        self.connections = threading.local()

    def kubectl(self, *arguments, text=None):
        done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def create_any(self, group, plural, body):
        self.post(f"/apis/{group}/{plural}", body | {"apiVersion": group})

    def create(self, namespace, body):
        self.post(f"/apis/kubeflow.org/v1/namespaces/{namespace}/tfjobs", body)

    def post(self, path, body):
        if not hasattr(self.connections, "one"):
            self.connections.one = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        connection = self.connections.one
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"POST {path}: {answer.status} {text[:300]}")

    @contextlib.contextmanager
    def namespace(self, name):
        """With a ServiceAccount that may do everything, and whose requests are counted by a FlowSchema of this name."""
        self.kubectl("create", "namespace", name)
        try:
            self.kubectl("create", "serviceaccount", "operator", "-n", name)
            account = f"--serviceaccount={name}:operator"
            self.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", account)
            self.create_any("flowcontrol.apiserver.k8s.io/v1", "flowschemas", flow_schema(name))
            yield name
        finally:
            self.kubectl("delete", "flowschema,clusterrolebinding", name, "--ignore-not-found")
            self.kubectl("delete", "namespace", name, f"--timeout={WAIT}s")

    def environment(self, work, namespace):
        """Of a process that is the namespace's operator: KUBECONFIG with its token."""
        token = self.kubectl("create", "token", "operator", "-n", namespace, "--duration=3h").strip()
        config = json.loads(self.kubectl("config", "view", "--minify", "--flatten", "-o", "json"))
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
        path = work / f"{namespace}.kubeconfig"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return os.environ | {"KUBECONFIG": str(path)}

    def own_address(self):
        """Of this machine as the API server sees it."""
        config = json.loads(self.kubectl("config", "view", "--minify", "-o", "json"))
        host, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").strip("/").rsplit(":", 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, int(port)))
            return probe.getsockname()[0]

    def requests(self, schema):
        """How many requests the API server has taken from the operator of this namespace."""
        metrics = self.kubectl("get", "--raw", "/metrics").splitlines()
        wanted = f'flow_schema="{schema}"'
        return sum(float(line.rsplit(" ", 1)[1]) for line in metrics if line.startswith(COUNTER) and wanted in line)

    def settled(self, schema):
        """The same once the operator asks for nothing more, but for its lease."""
        last, end = self.requests(schema), time.monotonic() + WAIT
        while time.monotonic() < end:
            time.sleep(3)
            now = self.requests(schema)
            if now - last <= 6:
                return now
            last = now
        raise SystemExit(f"the operator of {schema} did not come to rest")

    def forget_definitions(self):
        names = [name for name in self.kubectl("get", "crd", "-o", "name").split() if name.endswith("kubeflow.org")]
        self.kubectl("delete", *names, f"--timeout={WAIT}s")


def flow_schema(name):
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": "operator", "namespace": name}}
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    others = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    rule = {"subjects": [subject], "resourceRules": [every], "nonResourceRules": [others]}
    return {
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            # What ServiceAccounts have anyhow.
            "priorityLevelConfiguration": {"name": "workload-low"},
            "matchingPrecedence": 100,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [rule],
        },
    }


class Pods:
    """When each pod of a namespace was first seen, by a watch of the API server."""

    def __init__(self, cluster, namespace):
        self.seen = {}
        self.port, self.namespace, self.is_over = cluster.port, namespace, False
        self.watch()
        threading.Thread(target=self.read, daemon=True).start()

    def watch(self):
        """Begins with all pods that there are."""
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        self.connection.request("GET", f"/api/v1/namespaces/{self.namespace}/pods?watch=true&timeoutSeconds=3000")
        self.answer = self.connection.getresponse()

    def read(self):
        while not self.is_over:
            # The API server ends the watch of who does not keep up.
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                for line in self.answer:
                    event = json.loads(line)
                    if event["type"] == "ADDED":
                        self.seen.setdefault(event["object"]["metadata"]["name"], time.monotonic())
            if not self.is_over:
                self.watch()

    def wait(self, wanted):
        """The time at which the last of them was seen."""
        until(lambda: wanted <= self.seen.keys(), f"{len(wanted)} pods")
        return max(self.seen[name] for name in wanted)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_over = True
        with contextlib.suppress(OSError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)


def until(condition, what):
    end = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {WAIT} s for {what}")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
