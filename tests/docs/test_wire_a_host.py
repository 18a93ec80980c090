"""What docs/how-to/wire-a-host.md and the README of new policy repositories tell applications to do, done."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import running_host

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to/wire-a-host.md"
TEMPLATE = ROOT / "policy-repo-template/README.md.j2"
SOCKET = "/run/writ/decision.sock"

Namespace = dict[str, Any]


def python_block(page: Path) -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


def payloads(page: Path) -> list[dict[str, Any]]:
    return [json.loads(body) for body in re.findall(r"--data '(\{.*?\})'", page.read_text(encoding="utf-8"), re.DOTALL)]


@pytest.fixture(scope="module")
def socket_path() -> Iterator[Path]:
    """A sidecar that enforces the policies of a new repository; the value is its decision socket."""
    with running_host() as host:
        yield host.socket


@pytest.fixture(params=[HOW_TO, TEMPLATE], ids=["how-to", "template"])
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def client(page: Path, socket_path: Path) -> Namespace:
    """The names the Python of a page defines, with the socket of the sidecar above."""
    code = python_block(page)
    assert SOCKET in code
    namespace: Namespace = {}
    exec(code.replace(SOCKET, str(socket_path)), namespace)  # noqa: S102 - our own documentation
    return namespace


def request(action: str, *tags: str, **subject: Any) -> dict[str, Any]:
    who = {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}} | subject
    resource = {"type": "service", "id": "web", "properties": {"instances": ["web-1", "web-2"]}}
    return {"subject": who, "action": {"name": action}, "resource": resource, "context": {"risk_tags": list(tags)}}


def guard(client: Namespace, what: dict[str, Any]) -> object:
    """Run something behind the guard of the page; the value tells what it did."""

    def run(**bounds: object) -> object:
        return "ran", bounds

    def ask_a_person(_request: object, answer: dict[str, Any]) -> object:
        return "asked", answer["reason"]

    def keep_to(constraints: dict[str, object]) -> dict[str, object]:
        return constraints

    guarded: Callable[..., object] = client["guarded"]
    return guarded(what, run, ask_a_person, keep_to)


def test_allow_runs(client: Namespace) -> None:
    assert guard(client, request("tickets.read")) == ("ran", {})


def test_constraints_are_handed_to_what_runs(client: Namespace) -> None:
    assert guard(client, request("service.restart")) == ("ran", {"max_targets": 1})


def test_a_constraint_that_cannot_be_kept_stops_the_action(client: Namespace) -> None:
    ran = []

    def keep_nothing(constraints: dict[str, object]) -> dict[str, object]:
        raise NotImplementedError(str(constraints))

    with pytest.raises(NotImplementedError, match="max_targets"):
        client["guarded"](request("service.restart"), lambda **_: ran.append(1), None, keep_nothing)

    assert not ran


def test_an_approval_is_asked_for(client: Namespace) -> None:
    assert guard(client, request("config.write", "prod", "write")) == ("asked", "Production writes need a person")


def test_deny_raises_the_reason(client: Namespace) -> None:
    with pytest.raises(PermissionError, match="This cannot be undone"):
        guard(client, request("bucket.delete"))


def test_throttle_says_when_to_come_back(client: Namespace) -> None:
    client["decide"] = lambda _request: {"decision": "throttle", "retry_after_s": 7, "reason": "busy"}

    with pytest.raises(BlockingIOError, match="7 s: busy"):
        guard(client, request("tickets.read"))


@pytest.mark.parametrize("answer", [{}, {"decision": "shrug"}, {"decision": None}])
def test_a_word_that_is_unknown_is_a_deny(client: Namespace, answer: dict[str, Any]) -> None:
    client["decide"] = lambda _request: answer

    with pytest.raises(PermissionError):
        guard(client, request("tickets.read"))


def test_no_sidecar_is_a_deny(page: Path, tmp_path: Path) -> None:
    namespace: Namespace = {}
    exec(python_block(page).replace(SOCKET, str(tmp_path / "nobody.sock")), namespace)  # noqa: S102

    with pytest.raises(PermissionError, match="no decision"):
        guard(namespace, request("tickets.read"))


def test_a_request_of_the_wrong_shape_is_a_deny(client: Namespace) -> None:
    with pytest.raises(PermissionError, match="no decision"):
        guard(client, {"subject": "ada"})


def test_the_requests_shown_for_curl_get_the_decisions_described(client: Namespace) -> None:
    evaluation, job = payloads(HOW_TO)
    (for_template,) = payloads(TEMPLATE)

    answer = client["decide"](evaluation)

    assert (answer["decision"], answer["matched_rule"]) == ("allow_with_constraints", "agents.restarts/sre-may-restart")
    assert answer["constraints"] == {"max_targets": 1}
    assert client["decide"](job)["decision"] == "require_approval"
    assert client["decide"](for_template)["decision"] == "allow"


def test_both_pages_show_the_same_client() -> None:
    assert python_block(HOW_TO) == python_block(TEMPLATE)
