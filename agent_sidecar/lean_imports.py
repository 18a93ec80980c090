"""Imports TUF without the signing back ends a sidecar never uses: import this module before anything that loads TUF.

``securesystemslib.signer`` imports every signing library it finds installed; boto3 alone costs 18 MiB of resident
memory, and a sidecar only verifies. The libraries are hidden just while that package is imported: boto3 loads normally
afterwards, when an ``s3://`` store asks for it.
"""

import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

SIGNING_LIBRARIES = frozenset({"azure", "boto3", "botocore", "google", "hvac", "keylet", "pkcs11"})


class _Hidden(MetaPathFinder):
    """Finds nothing, and lets nobody else in the thread that made it find, the signing libraries."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> None:
        """Raise ModuleNotFoundError for a signing library; leave all else to the ordinary finders."""
        if fullname.partition(".")[0] in SIGNING_LIBRARIES and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname}: hidden, a sidecar only verifies", name=fullname)


def _import_signer() -> None:
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        import securesystemslib.signer  # noqa: F401 - for its side effect: it stays loaded, lean
    finally:
        sys.meta_path.remove(hidden)


_import_signer()
