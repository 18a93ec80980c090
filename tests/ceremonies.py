"""What tests of changes of keys share: a ceremony from its beginning to its end, in a world of the builder's tests."""

from typing import Any

from builder.publishing.before import read_before
from builder.publishing.carrying_out import apply, sign
from builder.publishing.ceremony import before_of, check, propose
from builder.publishing.key_changes import change_holders
from builder.publishing.keys import KeyRing
from builder.publishing.pending import Pending

World = Any  # of unit/builder/conftest.py


def publishers(world: World, **changes: Any) -> Any:
    return {"prod": world.publisher(**changes)}


def begin(world: World, wish: Any, *rings: KeyRing) -> Pending:
    """Return the document of a ceremony, as a file would carry it, signed by some."""
    ceremony = propose(publishers(world), read_before(publishers(world)), wish)
    for ring in rings:
        ceremony = sign(ceremony, ring).ceremony
    return reread(ceremony.document)


def reread(document: Pending) -> Pending:
    return Pending.from_bytes(document.to_bytes(), "test.ceremony")


def checked(world: World, document: Pending) -> Any:
    return check(document, before_of(publishers(world), document), world.now, "test.ceremony")


def finish(world: World, document: Pending, **changes: Any) -> Any:
    return apply(publishers(world, **changes), document, "test.ceremony")


def adding(role: str, *keys: Any, threshold: int = 0) -> Any:
    return lambda before: change_holders(before, role, added=keys, threshold=threshold)


def revoking(role: str, *names: str, threshold: int = 0) -> Any:
    return lambda before: change_holders(before, role, removed=names, threshold=threshold)


def replacing(role: str, old: str, new: Any) -> Any:
    return lambda before: change_holders(before, role, added=[new], removed=[old])


def keyid(world: World, role: str) -> str:
    return str(world.keys.public_key(role).keyid)
