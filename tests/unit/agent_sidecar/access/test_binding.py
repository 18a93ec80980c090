"""Binds: what a caller may say, and every way to say something else."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sidecar.access.binding import Binds, Bounds, binds
from agent_sidecar.server.caller import CallerKind
from policy_core.request import normalise

DEPLOYER = {
    "uid": 1000, "subjects": ["agent/deploy-*"], "tenants": ["shop"], "roles": ["deployer"], "on_behalf_of": ["ada"],
}  # fmt: skip
OBSERVER = {"uid": 1000, "subjects": ["agent/observer"], "tenants": ["shop", "bank"]}


def bounds(*tables: dict[str, Any], uid: int = 1000) -> Bounds:
    found = Binds(binds(list(tables))).of(CallerKind.UNIX, str(uid))
    assert found is not None
    return found


def asking(subject: str = "agent/deploy-7", tenant: object = "shop", **properties: object) -> dict[str, Any]:
    kind, _, name = subject.partition("/")
    return {
        "subject": {"type": kind, "id": name, "properties": properties},
        "action": {"name": "x"},
        "resource": {"type": "t", "id": "i"},
        "context": {} if tenant is None else {"tenant": tenant},
    }


def violation(raw: object, *tables: dict[str, Any]) -> str:
    return bounds(*(tables or (DEPLOYER,))).violation(normalise(raw, now=0.0, host={}))


@pytest.mark.parametrize(
    "raw",
    [
        asking(),
        asking(roles=["deployer"], on_behalf_of="ada"),
        asking(on_behalf_of=["ada", {"id": ["ada", None]}]),
        {"tenant_id": "shop", "job": {"topic": "x", "actor_type": "agent", "actor_id": "deploy-1"}},
        {"input": asking()},
        {"input": {"tenant_id": "shop", "job": {"topic": "x", "actor_type": "agent", "actor_id": "deploy-1"}}},
    ],
)
def test_what_one_entry_lets_a_caller_say_is_no_violation_in_any_form(raw: object) -> None:
    assert violation(raw) == ""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (asking("user/ada"), "may not speak as 'user/ada'"),
        (asking("agent/Deploy-7"), "may not speak as"),
        (asking("Agent/deploy-7"), "may not speak as"),
        (asking(" agent/deploy-7"), "may not speak as"),
        (asking("agent/x-deploy-"), "may not speak as"),
        (asking(tenant="bank"), "may not speak in tenant 'bank'"),
        (asking(tenant=None), "may not speak in tenant 'None'"),
        (asking(tenant=["shop"]), "may not speak in tenant"),
        (asking(roles=["deployer", "admin"]), "may not claim these roles"),
        (asking(roles="deployer"), "may not claim these roles"),
        (asking(roles=["deployer", 1]), "may not claim these roles"),
        (asking(on_behalf_of="eve"), "may not act on behalf of these"),
        (asking(on_behalf_of=["ada", "eve"]), "may not act on behalf of these"),
        (asking(on_behalf_of={"a": {"b": [{"c": "eve"}]}}), "may not act on behalf of these"),
        (asking(on_behalf_of={"eve": "ada"}), "may not act on behalf of these"),
        (asking(on_behalf_of={"id": {"eve": None}}), "may not act on behalf of these"),
        (asking(on_behalf_of={"eve": {}}), "may not act on behalf of these"),
        (asking(on_behalf_of=7), "may not act on behalf of these"),
        ({"tenant_id": "shop", "job": {"topic": "x", "actor_type": "user", "actor_id": "ada"}}, "may not speak as"),
        ({"tenant_id": "shop", "job": {"topic": "x"}}, "may not speak as 'anonymous/anonymous'"),
        ({"job": {"topic": "x", "actor_type": "agent", "actor_id": "deploy-1"}}, "may not speak in tenant 'default'"),
        ({"input": asking("user/ada")}, "may not speak as"),
        ({**asking("user/ada"), "input": asking(), "job": {"topic": "x"}}, "may not speak as 'user/ada'"),
        (asking("user/" + "a" * 500), "may not speak as 'user/" + "a" * 95 + "'"),
    ],
)
def test_what_no_entry_lets_a_caller_say_is_a_violation_in_every_form(raw: object, message: str) -> None:
    assert violation(raw).startswith(message)


def test_a_slash_in_a_type_or_an_id_does_not_move_the_border_between_them() -> None:
    entry = {"uid": 1000, "subjects": ["agent/team/*"]}
    kind_with_slash = asking() | {"subject": {"type": "agent/team", "id": "x"}}

    assert violation(asking("agent/team/x"), entry) == ""
    assert violation(kind_with_slash, entry)


def test_entries_are_not_mixed_to_allow_what_none_of_them_does() -> None:
    assert violation(asking("agent/observer", "bank"), DEPLOYER, OBSERVER) == ""
    assert violation(asking("agent/deploy-7", "bank"), DEPLOYER, OBSERVER) != ""
    assert violation(asking("agent/observer", on_behalf_of="ada"), DEPLOYER, OBSERVER) != ""


def test_who_is_in_no_entry_speaks_for_nobody_and_without_entries_everybody_is_free() -> None:
    stranger = bounds(DEPLOYER, uid=1001)

    assert stranger.violation(normalise(asking(), now=0.0, host={})) == "may speak for nobody"
    assert Binds().of(CallerKind.UNIX, "1000") is None


@pytest.mark.parametrize("kind", [CallerKind.TOKEN, CallerKind.CERTIFICATE, CallerKind.UNKNOWN])
def test_a_name_of_one_kind_is_not_that_of_another(kind: CallerKind) -> None:
    found = Binds(binds([DEPLOYER])).of(kind, "1000")

    assert found is not None
    assert found.violation(normalise(asking(), now=0.0, host={})) == "may speak for nobody"


def test_certificates_are_named_by_patterns_and_tokens_are_not() -> None:
    made = Binds(
        binds([{"certificate": "uri:spiffe://acme/*", "subjects": ["*/*"]}, {"token": "*", "subjects": ["*/*"]}])
    )

    def is_free(kind: CallerKind, name: str) -> bool:
        found = made.of(kind, name)
        return found is not None and found.violation(normalise(asking(), now=0.0, host={})) == ""

    assert is_free(CallerKind.CERTIFICATE, "uri:spiffe://acme/web")
    assert not is_free(CallerKind.CERTIFICATE, "cn:spiffe://acme/web")
    assert not is_free(CallerKind.TOKEN, "web")


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("ada")
KEYS = st.sampled_from(("ada", "id", "type"))


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3) | KEYS, inner)))
def test_nothing_but_listed_texts_passes_as_who_is_acted_for(value: object) -> None:
    texts: list[object] = []

    def walk(each: object) -> None:
        if isinstance(each, dict):
            texts.extend(key for key in each if key not in ("type", "id", "properties"))
            list(map(walk, each.values()))
        elif isinstance(each, list):
            list(map(walk, each))
        elif each is not None:
            texts.append(each)

    walk(value)
    assert (violation(asking(on_behalf_of=value)) == "") == all(text == "ada" for text in texts)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "is not a list"),
        ([1], "1: is not a table"),
        ([{"subjects": ["a/b"]}], "1: names no caller"),
        ([{"uid": 1, "token": "a", "subjects": ["a/b"]}], "1: names several callers"),
        ([{"uid": 1}], "1: subjects is missing"),
        ([{"uid": 1, "subjects": []}], "1: subjects: is not a list of 1 to"),
        ([{"uid": 1, "subjects": ["ada"]}], "1: subjects: ada is not type/id"),
        ([{"uid": 1, "subjects": ["/ada"]}], "1: subjects: /ada is not type/id"),
        ([{"uid": 1, "subjects": ["user/[a]"]}], "1: subjects: has a character that patterns do not have"),
        ([{"uid": 1, "subjects": ["a/b"], "tenants": []}], "1: tenants: is not a list of 1 to"),
        ([{"uid": -1, "subjects": ["a/b"]}], "1: uid: is not a user id"),
        ([{"uid": 2**32 - 1, "subjects": ["a/b"]}], "1: uid: is not a user id"),
        ([{"uid": True, "subjects": ["a/b"]}], "1: uid: is not a user id"),
        ([{"certificate": "web", "subjects": ["a/b"]}], "1: certificate: is not the name of a certificate"),
        ([{"uid": 1, "subject": ["a/b"]}], "1: subject is not a setting (did you mean subjects?)"),
        ([{"uid": 1, "subjects": ["a/b"]}] * 257, "is not a list of at most 256"),
    ],
)
def test_an_entry_that_says_too_little_or_too_much_is_a_mistake(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        binds(value)
