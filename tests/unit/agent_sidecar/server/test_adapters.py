"""What all protocols share: nothing that goes wrong is ever permission, and a socket is not thrown out of step."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from asking import Asking, Failing
from hypothesis import given
from hypothesis import strategies as st

from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.ext_authz import TrustedHeaders
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.envoy import EnvoyApi
from agent_sidecar.server.kubernetes import KubernetesApi
from agent_sidecar.server.opa import OpaApi
from agent_sidecar.status import Health
from policy_core.errors import KnownError

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u-1", "kind": {"kind": "Pod"}, "resource": {"resource": "pods"}, "operation": "CREATE",
        "userInfo": {"username": "ada"},
    },
}  # fmt: skip
HEADERS = ((b"host", b"shop"), (b"x-user", b"ada"))
BYTES = st.binary(max_size=40) | st.text("/.%2eEfF?aA;\\", max_size=20).map(str.encode)


def peer(method: bytes, target: bytes, headers: object = HEADERS) -> Any:
    return Asking(method=method, target=target, kept_headers=headers)


@pytest.fixture(scope="module")
def decisions(tmp_path_factory: pytest.TempPathFactory) -> DecisionApi:
    memory = HostMemory(tmp_path_factory.mktemp("memory"), host_id="host-1", clock=HostClock(), fleet=None)
    return DecisionApi(
        in_force=Failing, clock=lambda: 5.0, memory=memory, status=lambda: None, metrics=lambda: b"",
        health=lambda: Health(ready=False, state=FreshnessState.STALE), log=NoLog(),
    )  # fmt: skip


def answered(ask: Callable[[], Any]) -> tuple[int, bytes]:
    """Return a reply; what is raised is an HTTP error."""
    try:
        status, body = ask()
    except KnownError:
        return 400, b""
    return status, bytes(body)


def opa(decisions: DecisionApi) -> OpaApi:
    return OpaApi(decisions, default="writ/allow", status=lambda: None, health=lambda: None)  # type: ignore[arg-type, return-value]


def test_a_policy_with_a_bug_permits_nothing_in_any_protocol(decisions: DecisionApi) -> None:
    envoy, kubernetes = EnvoyApi(decisions, TrustedHeaders("x-user")), KubernetesApi(decisions)

    admitted = answered(lambda: kubernetes.admission(json.dumps(REVIEW).encode(), peer(b"POST", b"/")))[1]
    passed = answered(lambda: envoy.check(b"", peer(b"GET", b"/envoy/a")))[0]
    asked = json.dumps({"input": REQUEST}).encode()
    result = answered(lambda: opa(decisions).handle(asked, peer(b"POST", b"/v1/data/writ/allow")))[1]
    default = answered(lambda: opa(decisions).default(json.dumps(REQUEST).encode(), peer(b"POST", b"/")))

    assert json.loads(admitted)["response"]["allowed"] is False
    assert passed == 403
    assert json.loads(result)["result"] is False
    assert default == (200, b"false")


@given(path=BYTES, user=BYTES, host=BYTES)
def test_no_check_of_envoy_passes_by_being_odd(decisions: DecisionApi, path: bytes, user: bytes, host: bytes) -> None:
    envoy = EnvoyApi(decisions, TrustedHeaders("x-user"))
    asked = peer(b"GET", b"/envoy/" + path, ((b"host", host), (b"x-user", user)))

    assert answered(lambda: envoy.check(b"", asked))[0] in (400, 403)


@given(body=BYTES, path=BYTES)
def test_no_question_to_opa_is_true_by_being_odd(decisions: DecisionApi, body: bytes, path: bytes) -> None:
    for method in (b"GET", b"POST"):
        told = answered(lambda method=method: opa(decisions).handle(body, peer(method, b"/v1/data/" + path)))  # type: ignore[misc]

        assert b"true" not in told[1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(REVIEW["request"])), inner),  # type: ignore[arg-type]
    max_leaves=6,
)


@given(
    changed=st.dictionaries(st.sampled_from(["uid", "kind", "resource", "userInfo", "dryRun", "object"]), json_values)
)
def test_no_review_is_admitted_by_being_odd(decisions: DecisionApi, changed: dict[str, Any]) -> None:
    body = json.dumps(REVIEW | {"request": {**REVIEW["request"], **changed}}).encode()  # type: ignore[dict-item]

    status, reply = answered(lambda: KubernetesApi(decisions).admission(body, peer(b"POST", b"/")))

    assert status == 400 or json.loads(reply)["response"]["allowed"] is False
