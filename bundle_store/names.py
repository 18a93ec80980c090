"""Names of objects: relative POSIX paths, the same on every store, and what HTTP headers an object gets by its name."""

import re

from policy_core.errors import InvalidError

MAX_NAME_CHARS = 300

# Each segment starts with a letter or digit, so that no name can mean a parent, a hidden file or an absolute path.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*")

_MUTABLE = frozenset({"metadata/timestamp.json"})
_MUTABLE_FOLDER = "pending/"  # what waits for signatures gathers them


class ObjectNameError(InvalidError):
    """The name could leave the store's folder, or means different things to different stores."""


def check_name(name: str) -> str:
    """Return `name` if every store can hold it under exactly this name; raises ObjectNameError otherwise."""
    if not is_name(name):
        raise ObjectNameError(f"object name {name[:MAX_NAME_CHARS]!r}: not a relative path of letters, digits, . _ = -")
    return name


def is_name(name: str) -> bool:
    """Tell whether every store can hold an object under this name."""
    return len(name) <= MAX_NAME_CHARS and _NAME.fullmatch(name) is not None


def may_change(name: str) -> bool:
    """Tell whether an object may change: nothing that is published does under its name, but for the live timestamp."""
    return name in _MUTABLE or name.startswith(_MUTABLE_FOLDER)


def cache_control(name: str) -> str:
    """Return the Cache-Control header of an object."""
    return "no-cache" if may_change(name) else "public, max-age=31536000, immutable"


def content_type(name: str) -> str:
    """Return the Content-Type header of an object."""
    if name.endswith(".json"):
        return "application/json"
    return "application/gzip" if name.endswith(".gz") else "application/octet-stream"
