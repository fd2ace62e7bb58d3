"""Runs TrainJobs by the unmodified SDK `kubeflow`: `trainer.py NAMESPACE`."""

import os
import sys
import tempfile
from pathlib import Path

import requests
from kubernetes import client as kubernetes
from kubeflow.trainer import (
    CustomTrainer,
    CustomTrainerContainer,
    KubernetesBackendConfig,
    TrainerClient,
    update_trainjob_status,
)
from kubeflow.trainer.options import Name, PodSpecPatch, PodTemplatePatch, RuntimePatch, TrainerArgs
from kubeflow.trainer.options import JobSetSpecPatch, JobSetTemplatePatch, JobSpecPatch, JobTemplatePatch
from kubeflow.trainer.options import ReplicatedJobPatch, TrainingRuntimeSpecPatch

NAMESPACE = sys.argv[1]
GROUP = ("trainer.kubeflow.org", "v1alpha1", NAMESPACE, "trainjobs")


def main():
    client = TrainerClient(KubernetesBackendConfig(namespace=NAMESPACE))
    runtimes = {runtime.name: runtime for runtime in client.list_runtimes()}
    assert {"carrel-train", "torch-distributed", "two", "python"} <= set(runtimes), runtimes
    assert runtimes["torch-distributed"].trainer.framework == "torch"
    function(client)
    reports(client)
    ranks(client)
    failure(client)
    print("all done")


def train(greeting):
    import os
    import time

    print(greeting, os.environ["WHO"], os.environ["HOSTNAME"], flush=True)
    time.sleep(5)
    print("trained", flush=True)


def function(client):
    """A function of Python on two nodes."""
    trainer = CustomTrainer(func=train, func_args={"greeting": "hello"}, num_nodes=2, env={"WHO": "sdk"})
    name = client.train(runtime="python", trainer=trainer)
    job = client.wait_for_job_status(name, {"Running"}, timeout=40, polling_interval=1)
    assert sorted(step.name for step in job.steps) == ["node-0", "node-1"], job
    lines = list(client.get_job_logs(name, follow=True, step="node-1"))
    assert lines == [f"hello sdk {name}-node-0-1", "trained"], lines
    job = client.wait_for_job_status(name, timeout=40, polling_interval=1)
    assert (job.status, job.num_nodes) == ("Complete", 2), job
    assert list(client.get_job_logs(name))[-1] == "trained"
    reasons = [event.reason for event in client.get_job_events(name) if event.involved_object_kind == "TrainJob"]
    assert {"TrainJobCreated", "SuccessfulCreatePod", "TrainJobRunning", "TrainJobSucceeded"} <= set(reasons), reasons
    assert name in [job.name for job in client.list_jobs()]
    client.delete_job(name)
    assert name not in [job.name for job in client.list_jobs()]


def reports(client):
    """Progress as a process of a job reports it, with its pod's token, and as nobody else does."""
    for name in ["reporting", "other"]:
        client.train(runtime="two", options=[Name(name), TrainerArgs(["sleep", "60"]), patch()])
        client.wait_for_job_status(name, {"Running"}, timeout=40, polling_interval=1)
    core = kubernetes.CoreV1Api()
    pod = core.read_namespaced_pod("reporting-node-0-1", NAMESPACE)
    assert pod.metadata.annotations["example.com/patched"] == "yes"
    assert pod.spec.tolerations[0].key == "example.com/gpu", pod.spec.tolerations
    environment = {one.name: one.value for one in pod.spec.containers[0].env}
    assert environment["PET_MASTER_ADDR"] == "reporting-node-0-0.reporting", environment
    sources = next(volume for volume in pod.spec.volumes if volume.name == "kubeflow-trainer-token").projected.sources
    audience = sources[0].service_account_token.audience

    with tempfile.TemporaryDirectory() as folder:
        authority, secret = Path(folder, "ca.crt"), Path(folder, "token")
        authority.write_text(pod.metadata.annotations["carrel.dev/trainer-authorities"])
        os.environ["KUBEFLOW_TRAINER_SERVER_URL"] = environment["KUBEFLOW_TRAINER_SERVER_URL"]
        os.environ["KUBEFLOW_TRAINER_SERVER_CA_CERT"] = str(authority)
        os.environ["KUBEFLOW_TRAINER_SERVER_TOKEN"] = str(secret)
        other = core.read_namespaced_pod("other-node-0-0", NAMESPACE)
        refused(environment, authority, token(core, audience, other), "another job's pod")
        refused(environment, authority, token(core, audience, None), "no pod")
        refused(environment, authority, token(core, "https://kubernetes.default.svc", pod), "another audience")
        refused(environment, authority, "nonsense", "no token")
        secret.write_text(token(core, audience, pod))
        assert update_trainjob_status(42, 60, {"loss": 0.5})
    status = kubernetes.CustomObjectsApi().get_namespaced_custom_object(*GROUP, "reporting")["status"]
    reported = status["trainerStatus"]
    assert reported.pop("lastUpdatedTime")
    assert reported == {
        "progressPercentage": 42,
        "estimatedRemainingSeconds": 60,
        "metrics": [{"name": "loss", "value": "0.5"}],
    }, status
    for name in ["reporting", "other"]:
        client.delete_job(name)


def token(core, audience, pod):
    bound = pod and {"kind": "Pod", "apiVersion": "v1", "name": pod.metadata.name, "uid": pod.metadata.uid}
    request = {"spec": {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound}}
    return core.create_namespaced_service_account_token("default", NAMESPACE, request).status.token


def refused(environment, authority, secret, why):
    answer = requests.post(
        environment["KUBEFLOW_TRAINER_SERVER_URL"],
        json={"trainerStatus": {"progressPercentage": 1}},
        headers={"Authorization": f"Bearer {secret}"},
        verify=str(authority),
        timeout=5,
    )
    assert answer.status_code == 403, (why, answer.text)


def patch():
    """A toleration and an annotation for the nodes of one job."""
    pod = PodTemplatePatch(
        metadata={"annotations": {"example.com/patched": "yes"}},
        spec=PodSpecPatch(tolerations=[{"key": "example.com/gpu", "operator": "Exists"}]),
    )
    job = JobTemplatePatch(spec=JobSpecPatch(template=pod))
    jobs = JobSetSpecPatch(replicated_jobs=[ReplicatedJobPatch(name="node", template=job)])
    return RuntimePatch(training_runtime_spec=TrainingRuntimeSpecPatch(template=JobSetTemplatePatch(spec=jobs)))


def ranks(client):
    """The runtime of this project: two ranks that find each other."""
    image = client.get_runtime("carrel-train").trainer.image
    trainer = CustomTrainerContainer(image=image, num_nodes=2)
    client.train(runtime="carrel-train", trainer=trainer, options=[Name("ranks"), TrainerArgs(["smoke"])])
    client.wait_for_job_status("ranks", timeout=60, polling_interval=1)
    log = "\n".join(client.get_job_logs("ranks"))
    assert "is the same on all 2 tasks" in log, log


def failure(client):
    """A job that fails says so."""
    name = client.train(runtime="two", options=[Name("failing"), TrainerArgs(["exit", "3"])])
    try:
        client.wait_for_job_status(name, timeout=40, polling_interval=1)
    except RuntimeError as error:
        assert "is Failed" in str(error), error
    else:
        raise AssertionError("it did not fail")
    assert client.get_job(name).status == "Failed"


main()
