"""Runs a TFJob and a PyTorchJob by the unmodified SDK `kubeflow-training`: `training.py NAMESPACE IMAGE`."""

import sys

from kubernetes import client as kubernetes
from kubeflow.training import (
    KubeflowOrgV1PyTorchJob,
    KubeflowOrgV1PyTorchJobSpec,
    KubeflowOrgV1ReplicaSpec,
    KubeflowOrgV1RunPolicy,
    KubeflowOrgV1TFJob,
    KubeflowOrgV1TFJobSpec,
    TrainingClient,
)

NAMESPACE, IMAGE = sys.argv[1:]


def replica(container, count):
    main = kubernetes.V1Container(name=container, image=IMAGE, image_pull_policy="IfNotPresent", args=["exit", "0"])
    pod = kubernetes.V1PodSpec(containers=[main], termination_grace_period_seconds=1)
    template = kubernetes.V1PodTemplateSpec(spec=pod)
    return KubeflowOrgV1ReplicaSpec(replicas=count, restart_policy="Never", template=template)


def main():
    tf = KubeflowOrgV1TFJob(
        api_version="kubeflow.org/v1",
        kind="TFJob",
        metadata=kubernetes.V1ObjectMeta(name="tf", namespace=NAMESPACE),
        spec=KubeflowOrgV1TFJobSpec(
            run_policy=KubeflowOrgV1RunPolicy(clean_pod_policy="None"),
            tf_replica_specs={"Chief": replica("tensorflow", 1), "Worker": replica("tensorflow", 2)},
        ),
    )
    torch = KubeflowOrgV1PyTorchJob(
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        metadata=kubernetes.V1ObjectMeta(name="torch", namespace=NAMESPACE),
        spec=KubeflowOrgV1PyTorchJobSpec(
            run_policy=KubeflowOrgV1RunPolicy(clean_pod_policy="None"),
            pytorch_replica_specs={"Master": replica("pytorch", 1), "Worker": replica("pytorch", 1)},
        ),
    )
    for job, pods in [(tf, 3), (torch, 2)]:
        # Of one kind: with events it asks for no other, whatever `job_kind` says.
        run(TrainingClient(namespace=NAMESPACE, job_kind=job.kind), job, pods)
    print("all done")


def run(client, job, pods):
    name, kind = job.metadata.name, job.kind
    client.create_job(job)
    # As it does by default, but for the 15 s between two looks.
    client.wait_for_job_conditions(name, job_kind=kind, polling_interval=1, timeout=60)
    assert client.is_job_succeeded(name, job_kind=kind)
    assert len(client.get_job_pod_names(name)) == pods
    logs, events = client.get_job_logs(name, job_kind=kind, verbose=True)
    assert any("is created" in event for event in events[f"{kind.lower()}/{name}"]), events
    assert list(logs.values()) == ["about to exit with status 0\n"], logs
    assert name in [one.metadata.name for one in client.list_jobs(job_kind=kind)]
    client.delete_job(name, job_kind=kind)


main()
