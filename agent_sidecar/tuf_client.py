"""A TUF client of any repository over HTTP, so that others can test ours: the updater of every host, made usable alone.

A directory holds what the client trusts, each role's file under its bare name (``root.json``, ``timestamp.json``,
``<role>.json``), where TUF's conformance suite looks for it. Whatever else lies there has no name ending in ``.json``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tuf.api.metadata import Root, TargetFile
from tuf.ngclient import Updater

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar.durable import make_directory, read_file, write_file
from bundle_store.client import read_target, updating
from bundle_store.opening import open_foreign
from policy_core.errors import ConflictError, UsageError
from policy_core.trust.chain import decode, verify_roots
from policy_core.trust.layout import MAX_ROOT_BYTES

TRUST_ROOT = "trust-root"
"""The first root: as on a host, every update verifies from it, and not from what an update once wrote."""


def initialise(directory: Path, trusted_root: bytes) -> None:
    """Trust a root that is signed by its own keys; asks nobody.

    Raises MetadataError, ConflictError if the directory trusts another one, StateError.
    """
    verify_roots((), trusted_root=trusted_root)
    make_directory(directory)
    try:
        known = read_file(directory / TRUST_ROOT, max_bytes=MAX_ROOT_BYTES)
    except FileNotFoundError:
        write_file(directory / "root.json", trusted_root)
        write_file(directory / TRUST_ROOT, trusted_root)  # last: from now on it is initialised
        return
    if known != trusted_root:
        raise ConflictError(f"{directory}: trusts another root already", hint="give it a directory of its own")


def refresh(directory: Path, metadata_url: str) -> None:
    """Update the metadata of the top-level roles. Raises TrustError, RemoteError, UsageError, StateError."""
    with _updating(directory, metadata_url) as updater:
        updater.refresh()


def download(directory: Path, metadata_url: str, name: str, *, base_url: str, target_directory: Path) -> Path:
    """Update the metadata, and return the file of a target, fetched unless it is there already.

    Raises as `refresh`; UsageError also if the repository has no such target.
    """
    targets = open_foreign(base_url)
    path = target_directory / quote(name, safe="")
    with _updating(directory, metadata_url) as updater:
        target = updater.get_targetinfo(name)  # updates first
        if target is None:
            raise UsageError(f"{name}: nobody who may list this target does")
        if not updater.find_cached_target(target, str(path)):
            body = read_target(targets, _object_name(directory, target), target)
            make_directory(target_directory)
            write_file(path, body, mode=0o644)
    return path


@contextmanager
def _updating(directory: Path, metadata_url: str) -> Iterator[Updater]:
    store = open_foreign(metadata_url)
    try:
        trusted_root = read_file(directory / TRUST_ROOT, max_bytes=MAX_ROOT_BYTES)
    except FileNotFoundError as error:
        raise UsageError(f"{directory}: trusts no root yet", hint="begin with `init TRUSTED_ROOT`") from error
    with updating(store, "", trusted_root=trusted_root, cache=directory) as updater:
        yield updater


def _object_name(directory: Path, target: TargetFile) -> str:
    """Return the name a repository serves a target under: with its digest, if it keeps snapshots consistent."""
    root = decode(read_file(directory / "root.json", max_bytes=MAX_ROOT_BYTES), Root, limit=MAX_ROOT_BYTES).signed
    if not root.consistent_snapshot:
        return target.path
    folder, slash, file = target.path.rpartition("/")
    return f"{folder}{slash}{next(iter(target.hashes.values()))}.{file}"
