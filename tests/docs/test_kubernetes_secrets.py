"""The settings that the page on Kubernetes shows keep the content of Secrets out of records."""

import re
from pathlib import Path
from typing import Any

from agent_sidecar.admission import read_review, request_of
from builder.language.nodes import Report
from builder.language.project import read_project
from policy_core.redacting import Redactor
from policy_core.request import canonical, normalise

PAGE = (Path(__file__).parents[2] / "docs/reference/kubernetes.md").read_text(encoding="utf-8")
(SETTINGS,) = re.findall(r"^```yaml\n# writ\.yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SECRET = {
    "kind": "Secret",
    "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"}},
    "data": {"password": "hunter2"},
}


def recorded(plural: str, content: dict[str, Any]) -> str:
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1", "kind": {"kind": content["kind"]}, "resource": {"resource": plural}, "operation": "UPDATE",
            "userInfo": {"username": "ana"}, "name": "n", "namespace": "shop", "object": content, "oldObject": content,
        },
    }  # fmt: skip
    project = read_project(SETTINGS.encode(), Report("writ.yaml"))
    assert project is not None
    assert project.log is not None
    request = request_of(read_review(review))
    return str(Redactor(project.log, {}).redact(canonical(request), normalise(request, now=0.0, host={})))


def test_nothing_of_a_secret_is_recorded() -> None:
    assert "hunter2" not in recorded("secrets", SECRET)


def test_other_objects_are() -> None:
    assert "hunter2" in recorded("configmaps", {**SECRET, "kind": "ConfigMap"})
