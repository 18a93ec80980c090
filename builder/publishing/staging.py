"""What hosts would say: a real client reads the store as if the new timestamp were in it already.

It starts from the state that is live, as hosts do, and enforces everything: signatures, versions, expiry, digests. A
publisher that fails here has changed nothing.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.publishing.state import LiveState
from bundle_store.client import TrustedClient
from bundle_store.port import Store, StoredObject
from policy_core.bundle import Bundle, read_bundle
from policy_core.errors import KnownError, TrustError, UsageError
from policy_core.trust.layout import TIMESTAMP
from policy_core.trust.release import Release


class ScratchError(UsageError):
    """There is no room for temporary files, which verifying needs."""

    default_hint = "make space where temporary files go, or set TMPDIR to a folder with space"


class StagedStateError(TrustError):
    """Hosts would refuse what is about to be published; nothing became visible."""


@dataclass(frozen=True, slots=True)
class StagedStore:
    """A store with another timestamp in front."""

    store: Store
    timestamp: bytes
    url: str

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the staged timestamp, or whatever the store holds."""
        if name == TIMESTAMP:
            return StoredObject(self.timestamp, etag="")
        return self.store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)


def verify_staged(
    store: Store,
    timestamp: bytes,
    *,
    trusted_root: bytes,
    channel: str,
    release: Release | None,
    live: LiveState | None,
) -> None:
    """Return if a host that follows `channel`, coming from the `live` state, would now get exactly `release`.

    Raises StagedStateError, ScratchError, RemoteError.
    """
    with scratch_folder() as cache:
        if live is not None:
            _put_state(cache, channel, live)
        client = TrustedClient(
            StagedStore(store, timestamp, store.url), trusted_root=trusted_root, channel=channel, cache=cache
        )
        try:
            _, verified = client.refresh()
            if verified.release != release:
                raise StagedStateError(f"channel {channel}: a client reads another release than the one published")
            if release is not None:
                check_bundle(release, client.download(release))
        except TrustError as error:
            raise StagedStateError(f"hosts would refuse this: {error.message}", hint=error.hint) from error


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a new host's cache a folder for as long as it is needed; raises ScratchError."""
    try:
        with tempfile.TemporaryDirectory(prefix="writ-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise ScratchError(f"temporary files: {error.strerror or error}") from error


def check_bundle(release: Release, blob: bytes) -> Bundle:
    """Return what is in a downloaded bundle; raises TrustError unless it is what its release says inside, too."""
    try:
        bundle = read_bundle(blob)
    except KnownError as error:
        raise TrustError(f"release {release.release} of {release.channel}: {error.message}") from error
    said = (release.name, release.revision, release.sha256, release.content_sha256, release.policy_sha256)
    if (bundle.name, bundle.revision, bundle.sha256, bundle.content_sha256, bundle.policy_sha256) != said:
        raise TrustError(f"release {release.release} of {release.channel}: the bundle is not the one it names")
    return bundle


def _put_state(cache: Path, channel: str, live: LiveState) -> None:
    """Lay the live state out as python-tuf's client keeps it."""
    files = {
        "timestamp": live.chain.timestamp,
        "snapshot": live.chain.snapshot,
        "targets": live.chain.targets,
        channel: live.chain.channel,
    }
    for role, content in files.items():
        (cache / f"{role}.json").write_bytes(content)
