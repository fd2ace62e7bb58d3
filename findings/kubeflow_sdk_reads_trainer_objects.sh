#!/usr/bin/env bash
# The Python SDK kubeflow 0.5.0 (TrainerClient) reads two valid objects of trainer.kubeflow.org/v1alpha1 otherwise than one
# would guess; the server here is a stand-in that answers with fixed JSON.
#
# 1. `spec.mlPolicy` of a runtime is optional in the definition of Trainer 2.3. One ClusterTrainingRuntime without it makes
#    list_runtimes() raise, so that nobody of the cluster sees any runtime: "... is invalid - missing one or more required
#    fields: metadata.name, spec.ml_policy, ...".
# 2. A TrainJob that was suspended and resumed has the condition Suspended with the status "False" for the rest of its life.
#    Its pods run, and the SDK says "Created" until the end; the same job without any condition is "Running".
#
# So runtimes that Carrel ships have an mlPolicy, also where it says no more than numNodes: 1. Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --disable-pip-version-check -q kubeflow==0.5.0
cat >"$folder/look.py" <<'PYTHON'
import http.server
import json
import logging
import threading

from kubeflow.trainer import TrainerClient
from kubeflow.trainer.backends.kubernetes.backend import KubernetesBackend
from kubeflow.common.types import KubernetesBackendConfig
from kubernetes import client

logging.disable(logging.CRITICAL)
GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
SINCE = "2026-01-01T00:00:00Z"
NODE = {"name": "node", "image": "example/image"}


def runtime(name, policy):
    template = {"spec": {"containers": [NODE]}}
    step = {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}}
    jobs = [{"name": "node", "template": {"metadata": step, "spec": {"template": template}}}]
    spec = {"template": {"spec": {"replicatedJobs": jobs}}} | policy
    labels = {"trainer.kubeflow.org/framework": "torch"}
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "ClusterTrainingRuntime", "metadata": meta, "spec": spec}


def job(name, conditions):
    meta = {"name": name, "namespace": "default", "creationTimestamp": SINCE}
    spec = {"runtimeRef": {"name": "with"}}
    status = {"conditions": conditions, "jobsStatus": [dict(name="node", ready=1, active=1, succeeded=0, failed=0, suspended=0)]}
    return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": meta, "spec": spec, "status": status}


def pod(name):
    labels = {
        "jobset.sigs.k8s.io/jobset-name": name,
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "batch.kubernetes.io/job-completion-index": "0",
        "trainer.kubeflow.org/trainjob-ancestor-step": "trainer",
    }
    meta = {"name": f"{name}-node-0-0", "namespace": "default", "labels": labels, "creationTimestamp": SINCE}
    return {"metadata": meta, "spec": {"containers": [NODE]}, "status": {"phase": "Running"}}


WITH, WITHOUT = runtime("with", {"mlPolicy": {"numNodes": 1, "torch": {}}}), runtime("without", {})
RESUMED = {"type": "Suspended", "status": "False", "reason": "Resumed", "message": "", "lastTransitionTime": SINCE}
answers = {
    f"{GROUP}/clustertrainingruntimes/with": WITH,
    f"{GROUP}/namespaces/default/trainjobs/fresh": job("fresh", []),
    f"{GROUP}/namespaces/default/trainjobs/resumed": job("resumed", [RESUMED]),
}


class Stand(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.endswith("/pods"):
            name = "resumed" if "resumed" in query else "fresh"
            answer = {"apiVersion": "v1", "kind": "PodList", "items": [pod(name)]}
        elif path == f"{GROUP}/clustertrainingruntimes":
            answer = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": runtimes}
        else:
            answer = answers.get(path)
        body = json.dumps(answer or {"kind": "Status", "code": 404, "reason": "NotFound"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stand)
threading.Thread(target=server.serve_forever, daemon=True).start()
configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
trainer = TrainerClient(KubernetesBackendConfig(namespace="default", client_configuration=configuration))

runtimes = [WITH]
listed = [runtime.name for runtime in trainer.list_runtimes()]
runtimes = [WITH, WITHOUT]
try:
    both = [runtime.name for runtime in trainer.list_runtimes()]
except Exception as error:
    both = "raises, naming spec.ml_policy" if "spec.ml_policy" in str(error) else f"raises {error}"
states = {name: trainer.get_job(name).status for name in ("fresh", "resumed")}
print("one runtime with mlPolicy: ", listed)
print("and one without:           ", both)
print("states of jobs whose pods run:", states)
expected = (["with"], "raises, naming spec.ml_policy", {"fresh": "Running", "resumed": "Created"})
raise SystemExit((listed, both, states) != expected)
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
