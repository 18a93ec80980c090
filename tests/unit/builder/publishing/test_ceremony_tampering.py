"""Ceremony files that somebody changed on their way to the people who sign."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ceremonies import begin, checked, publishers, revoking
from securesystemslib.signer import CryptoSigner

from builder.publishing.before import read_before
from builder.publishing.ceremony import check
from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange
from builder.publishing.pending import Pending, PendingError, StaleError

World = Any  # of ../conftest.py
Tamper = Callable[[Any], object]


def signed(role: str) -> Callable[[Any], Any]:
    return lambda document: document["roles"][role]["signed"]


def put(role: str, *path: str, value: Any) -> Tamper:
    """Change one value in a signed part."""

    def tamper(document: Any) -> None:
        at = signed(role)(document)
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value

    return tamper


def forget(role: str) -> Tamper:
    return lambda document: document["roles"].pop(role)


def add_role(name: str, like: str) -> Tamper:
    return lambda document: document["roles"].update({name: copy.deepcopy(document["roles"][like])})


def add_signature(role: str, keyid: str, sig: str) -> Tamper:
    return lambda document: document["roles"][role]["signatures"].append({"keyid": keyid, "sig": sig})


def more_keys(document: Any) -> None:
    """Give targets another key of Mallory's, who calls herself Bo."""
    mallory = CryptoSigner.generate_ed25519().public_key
    root = signed("root")(document)
    bo = next(keyid for keyid, key in root["keys"].items() if key.get("x-owner") == "bo")
    root["keys"][bo[:12] + mallory.keyid[12:]] = {**mallory.to_dict(), "x-owner": "bob"}
    root["roles"]["targets"]["keyids"].append(bo[:12] + mallory.keyid[12:])


def own_delegation(document: Any) -> None:
    """Delegate everything to a role that is no channel."""
    delegations = signed("targets")(document)["delegations"]
    delegations["roles"].append({**delegations["roles"][0], "name": "*", "paths": ["*"]})


def dropped_delegation(document: Any) -> None:
    roles = signed("targets")(document)["delegations"]["roles"]
    roles[:] = [role for role in roles if role["name"] != "prod.oncall"]


def looser_delegation(document: Any) -> None:
    for role in signed("targets")(document)["delegations"]["roles"]:
        role["terminating"] = False


def wider_delegation(document: Any) -> None:
    for role in signed("targets")(document)["delegations"]["roles"]:
        role["paths"].append("staging/*")


def lower_threshold(document: Any) -> None:
    for role in signed("targets")(document)["delegations"]["roles"]:
        role["threshold"] = 0 if role["name"] == "prod.oncall" else 1


def another_release(document: Any) -> None:
    for target in signed("prod")(document)["targets"].values():
        target["hashes"]["sha256"] = "0" * 64


NOT_OURS = "is not what `writ keys` would have made"


class TestTampering:
    """A file that somebody changed before the first signature: what is shown would not be what is signed."""

    @pytest.mark.parametrize(
        ("tamper", "error", "message"),
        [
            pytest.param(put("root", "version", value=9), PendingError, "root has version 9, but 2 is live", id="leap"),
            pytest.param(put("targets", "version", value=2**31), PendingError, "targets has version", id="far ahead"),
            pytest.param(put("prod", "version", value=1), PendingError, "prod has version 1", id="back"),
            pytest.param(
                put("prod", "expires", value="2099-01-01T00:00:00Z"), PendingError, "which is too long", id="for ever"
            ),
            pytest.param(
                put("root", "expires", value="2020-01-01T00:00:00Z"), StaleError, "would have expired", id="run out"
            ),
            pytest.param(put("root", "x-base", "version", value=1), StaleError, "root has changed since", id="base"),
            pytest.param(put("prod", "x-base", value=None), StaleError, "prod has changed since", id="no base"),
            pytest.param(put("root", "consistent_snapshot", value=False), PendingError, NOT_OURS, id="consistent"),
            pytest.param(put("root", "spec_version", value="1.0.0"), PendingError, NOT_OURS, id="specification"),
            pytest.param(put("targets", "x-base", "more", value=1), StaleError, "has changed", id="more base"),
            pytest.param(
                put("targets", "targets", value={"x": {"length": 1, "hashes": {"sha256": "0" * 64}}}),
                PendingError, NOT_OURS, id="target",
            ),
            pytest.param(another_release, PendingError, NOT_OURS, id="release"),
            pytest.param(more_keys, PendingError, "does not have the id that belongs to it", id="look-alike"),
            pytest.param(own_delegation, PendingError, r"role \*: is none of this store's roles", id="own role"),
            pytest.param(dropped_delegation, PendingError, "takes away prod.oncall", id="dropped role"),
            pytest.param(looser_delegation, PendingError, NOT_OURS, id="not terminating"),
            pytest.param(wider_delegation, PendingError, NOT_OURS, id="wider"),
            pytest.param(forget("prod"), StaleError, "prod would have too few signatures", id="role left out"),
            pytest.param(add_role("snapshot", "prod"), StaleError, "snapshot has changed since", id="snapshot role"),
            pytest.param(add_role("staging", "prod"), StaleError, "staging has changed since", id="unknown role"),
            pytest.param(add_signature("root", "f" * 64, "00"), PendingError, "key ffffffffffff, which may", id="who"),
        ],
    )  # fmt: skip
    def test_is_refused(self, rooted: World, tamper: Tamper, error: type[Exception], message: str) -> None:
        new = rooted.person("dee").key
        change = KeyChange({
            "root": Holders((*rooted.publisher().reader.read().keys("root"), new), 2),
            "prod": Holders((rooted.person("ana").key, new), 2),
        })  # fmt: skip
        document = json.loads(begin(rooted, lambda _: change).to_bytes())
        tamper(document)

        with pytest.raises(error, match=message):
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_with_a_threshold_is_refused_as_a_command_would(self, rooted: World) -> None:
        document = json.loads(begin(rooted, revoking("prod", "cy")).to_bytes())
        lower_threshold(document)

        with pytest.raises(PendingError, match="is no pending document"):  # python-tuf refuses 0 itself
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_after_a_signature_is_refused(self, rooted: World) -> None:
        document = json.loads(
            begin(rooted, revoking("prod", "cy"), rooted.person("ana").ring("targets", "prod")).to_bytes()
        )
        put("targets", "expires", value="2027-01-01T00:00:00Z")(document)

        with pytest.raises(PendingError, match=r"the signature of key \w{12} does not hold"):
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_what_is_not_signed_is_refused(self, rooted: World) -> None:
        document = json.loads(begin(rooted, revoking("prod", "cy")).to_bytes())
        document["roles"]["targets"]["note"] = "harmless"

        with pytest.raises(PendingError, match="is no pending document"):
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_what_nobody_changed_is_not(self, rooted: World) -> None:
        change = checked(rooted, begin(rooted, revoking("prod", "cy"))).change

        assert {role: len(held.keys) for role, held in change.holders.items()} == {"prod": 2}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document but the document itself."""
    found = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in found:
        yield (*path, name)
        yield from places(inner, (*path, name))


def changed(document: Any, path: tuple[Any, ...], value: object) -> bytes:
    """Return the document with another value in one place, or without it."""
    changed = copy.deepcopy(document)
    at = changed
    for name in path[:-1]:
        at = at[name]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(changed).encode()


GONE = object()
VALUES = (GONE, None, True, 1, 2.0, -1, 2**70, "", "x", "0" * 64, [], {}, [[]], {"x": 1})


@pytest.mark.parametrize("value", VALUES, ids=lambda value: "gone" if value is GONE else repr(value)[:9])
def test_no_value_anywhere_can_be_another(rooted: World, value: object) -> None:
    """Whatever is accepted is what was there: the very bytes to be signed, or some of the files whole."""
    new = rooted.person("dee").key
    change = KeyChange({
        "root": Holders((*rooted.publisher().reader.read().keys("root"), new), 2),
        "prod": Holders((rooted.person("ana").key, new), 2),
        "prod.oncall": Holders((rooted.person("eve").key,), 1),
    })  # fmt: skip
    rings = [rooted.person("ana").ring("root", "targets", "prod"), rooted.person("eve").ring("prod.oncall")]
    original = begin(rooted, lambda _: change, *rings)
    before = read_before(publishers(rooted))
    document = json.loads(original.to_bytes())

    for path in places(document):
        try:
            tampered = Pending.from_bytes(changed(document, path, value), "test.ceremony")
            ceremony = check(tampered, before, rooted.now, "test.ceremony")
        except (PendingError, StaleError):
            continue
        for role, file in ceremony.document.roles.items():
            assert file.signed_bytes == original.roles[role].signed_bytes, (path, value)
