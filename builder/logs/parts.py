"""Parts of records: whatever a record lacks, or holds in another form, is empty. Pure."""

from collections.abc import Mapping
from typing import Any


def part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part that is an object, or an empty one: what was erased is not there."""
    found = whole.get(name)
    return found if isinstance(found, dict) else {}
