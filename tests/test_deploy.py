"""What `deploy/` holds says what Kubernetes, KubeRay and this package understand. SLURM's script is run: test_slurm."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KUBERNETES = "1.31"

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


#: Of KubeRay's API (docs/reference/api.md of ray-project/kuberay, and its user guide on tokens), the fields that are used here.
CLUSTER = closed(
    ["headGroupSpec", "rayVersion"],
    rayVersion={"type": "string"},
    authOptions=closed(["mode"], mode={"enum": ["token", "disabled"]}),
    headGroupSpec=closed(["template", "rayStartParams"], rayStartParams=TEXTS, template={"type": "object"}),
    workerGroupSpecs={
        "type": "array",
        "items": closed(
            ["groupName", "template", "rayStartParams"],
            groupName={"type": "string"},
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=TEXTS,
            template={"type": "object"},
        ),
    },
)
JOB = closed(
    ["entrypoint", "rayClusterSpec"],
    entrypoint={"type": "string"},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    backoffLimit=COUNT,
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=CLUSTER,
)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB}


def documents() -> list[Any]:
    return [
        pytest.param(document, id=f"{path.name}-{document['kind']}")
        for path in MANIFESTS
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("document", documents())
def test_a_manifest_is_what_its_schema_says(document: dict[str, Any]) -> None:
    if document["kind"] not in SPECS:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    assert document["apiVersion"] == "ray.io/v1"
    jsonschema.validate(document["spec"], SPECS[document["kind"]])
    for pod in pods(document):
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "checked"}} | {"spec": pod}
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)


@pytest.mark.parametrize("document", documents())
def test_pods_have_what_they_mount_and_the_storage_that_is_there(document: dict[str, Any]) -> None:
    claims = {one.values[0]["metadata"]["name"] for one in documents() if one.values[0]["kind"] == "PersistentVolumeClaim"}
    for pod in pods(document):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
            assert container["resources"]["requests"] == container["resources"]["limits"], "whole CPUs of its own"
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] in claims


@pytest.mark.parametrize("document", documents())
def test_ray_is_the_version_that_is_tested(document: dict[str, Any]) -> None:
    if document["kind"] in SPECS:
        spec = document["spec"]
        assert spec.get("rayClusterSpec", spec)["rayVersion"] == version("ray")


def test_a_manifest_with_a_misspelt_key_is_refused() -> None:
    (path,) = [path for path in MANIFESTS if path.name == "cluster.yaml"]
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["spec"]["workerGroupSpecs"][0]["maxReplica"] = 4
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(document["spec"], CLUSTER)
    pod = pods(document)[0] | {"restartpolicy": "Never"}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod}, KUBERNETES, strict=True)


def test_the_image_is_made_of_what_is_here() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.+)$", text, flags=re.MULTILINE) for word in line.split()[:-1]]
    assert copied
    for name in copied:
        assert (DEPLOY.parent / name).exists(), name
    extras = re.findall(r"'\.\[([\w,]+)\]'", text)[0].split(",")
    declared = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")
    for extra in extras:
        assert re.search(rf"^{extra} = \[", declared, flags=re.MULTILINE), extra


def pods(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Specifications of the pods of a Ray cluster or job; none of what is neither."""
    if document["kind"] not in SPECS:
        return []
    spec = document["spec"]
    spec = spec.get("rayClusterSpec", spec)
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
