"""Whatever a thief signs into a role's fields, it is refused as bad metadata or has no effect; it is never a crash."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from securesystemslib.formats import encode_canonical
from tamper.editing import Editor
from tamper.rows_oncall import ROLE, denied_in_an_emergency
from tamper.scene import Scene

from builder.publishing import metadata
from policy_core.errors import KnownError
from policy_core.trust import layout
from policy_core.trust.chain import MetadataChain, verify_chain

GARBAGE = (None, -1, 2**70, "\0\n", [], {"a": "b"})
PINNED = ("targets", "prod", ROLE)
Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the way to every value inside one."""
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from places(inside, (*path, key))


def replaced(value: Any, path: Path, by: object) -> Any:
    """Return a copy with another value in one place."""
    changed = at = copy.deepcopy(value)
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = by
    return changed


def signed(editor: Editor, role: str, content: Any) -> bytes:
    """Sign a document as it is, which no library would write."""
    signature = editor.signers[role].sign(encode_canonical(content).encode())
    return json.dumps({"signatures": [signature.to_dict()], "signed": content}).encode()


def chain_with(editor: Editor, role: str, content: Any) -> MetadataChain:
    """Return the live chain with another content of one role, and what pins it signed again."""
    files = {name: editor.read(layout.metadata_name(name, editor.role(name).version)) for name in ("snapshot", *PINNED)}
    files[role] = signed(editor, role, content)
    if role in PINNED:
        snapshot = editor.role("snapshot").to_dict()
        snapshot["meta"][f"{role}.json"] = pin_of(files[role], content)
        files["snapshot"] = signed(editor, "snapshot", snapshot)
        content = snapshot
    if role != "timestamp":
        timestamp = editor.role("timestamp").to_dict()
        timestamp["meta"]["snapshot.json"] = pin_of(files["snapshot"], content)
        files["timestamp"] = signed(editor, "timestamp", timestamp)
    return MetadataChain((), files["timestamp"], files["snapshot"], files["targets"], files["prod"], oncall=files[ROLE])


def pin_of(data: bytes, content: Any) -> dict[str, Any]:
    """Return what pins a file, whatever it says its version is."""
    return metadata.pin_of(1, data).to_dict() | {"version": content["version"]}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "prod", ROLE])
def test_it_is_refused_or_has_no_effect(role: str, scene: Scene) -> None:
    denied_in_an_emergency(scene)
    editor = scene.owners
    genuine = editor.role(role).to_dict()
    live = verify_chain(chain_with(editor, role, genuine), trusted_root=scene.root, channel="prod").release
    refusals = 0

    for path in places(genuine):
        for garbage in GARBAGE:
            content = replaced(genuine, path, garbage)
            try:
                chain = chain_with(editor, role, content)
                found = verify_chain(chain, trusted_root=scene.root, channel="prod").release
            except KnownError:
                refusals += 1
            else:
                assert found is None or found.sha256 == live.sha256, path

    assert refusals > 0


def test_every_place_is_tried(scene: Scene) -> None:
    denied_in_an_emergency(scene)

    tried = set(places(scene.owners.role(ROLE).to_dict()))

    assert (layout.ONCALL, "emergency", 0, "rule") in tried
