"""Content digest of a set of files: pure, order-independent.

Paths and contents are length-prefixed, so two different sets never share one encoding.
"""

import hashlib
from collections.abc import Mapping

_DOMAIN = b"writ-bundle-tree/v1\n"  # a new encoding gets a new tag


def tree_digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 over all files (64 lowercase hex digits); their order is irrelevant."""
    hasher = hashlib.sha256(_DOMAIN)
    for path, content in sorted((path.encode(), content) for path, content in files.items()):
        for part in (path, content):
            hasher.update(len(part).to_bytes(8, "big"))
            hasher.update(part)
    return hasher.hexdigest()
