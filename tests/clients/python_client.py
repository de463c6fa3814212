"""What a program with the official Python client does: python_client.py KUBECONFIG STEP.

The step `use` lists, watches, patches and deletes, and prints a resource version; a resource version as
the step watches on from it, after the server was started again.
"""
import sys

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"by": "python"}), data=data)


def names(events):
    return [(event["type"], event["object"].metadata.name) for event in events]


def use(core, apps):
    for i in range(5):
        core.create_namespaced_config_map("default", config_map(f"p{i}", key=str(i)))
    listed = core.list_namespaced_config_map("default", label_selector="by=python")
    assert [c.metadata.name for c in listed.items] == [f"p{i}" for i in range(5)], listed
    page = core.list_namespaced_config_map("default", label_selector="by=python", limit=2)
    assert len(page.items) == 2 and page.metadata._continue, page.metadata

    patched = core.patch_namespaced_config_map("p0", "default", {"data": {"more": "1"}})
    assert patched.data == {"key": "0", "more": "1"}, patched.data
    patched.data["key"] = "new"
    replaced = core.replace_namespaced_config_map("p0", "default", patched)
    assert replaced.data["key"] == "new"
    try:
        core.replace_namespaced_config_map("p0", "default", patched)
        raise AssertionError("a write of an old version must conflict")
    except ApiException as error:
        assert error.status == 409 and error.reason == "Conflict", error

    core.delete_namespaced_config_map("p4", "default")
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=listed.metadata.resource_version,
        timeout_seconds=1)
    want = [("MODIFIED", "p0"), ("MODIFIED", "p0"), ("DELETED", "p4")]
    assert names(stream) == want, "the watch tells what happened"

    labels = {"app": "web"}
    apps.create_namespaced_deployment("default", client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1DeploymentSpec(
            replicas=1,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels),
                spec=client.V1PodSpec(containers=[client.V1Container(name="main", image="example.org/image:1")])))))
    scaled = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
    assert scaled.spec.replicas == 3, scaled
    return core.list_namespaced_config_map("default").metadata.resource_version


def resume(core, version):
    core.create_namespaced_config_map("default", config_map("later"))
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=1)
    assert names(stream) == [("ADDED", "later")], "the watch goes on after a restart"


def main(kubeconfig, step):
    config.load_kube_config(kubeconfig)
    if step == "use":
        print(use(client.CoreV1Api(), client.AppsV1Api()))
    else:
        resume(client.CoreV1Api(), step)


main(*sys.argv[1:])
