"""Snapshots on disk: verified bundles, each with the metadata chain that authorised it.

``snapshots/<sha256>/bundle.tar.gz`` and, per release that listed these bytes, ``snapshots/<sha256>/release-<N>.json``.
A rollback release lists known bytes again under a higher number: it adds a chain and touches no other. Every file is
replaced atomically, so a reader meets the old or the new one; what a snapshot is worth is decided by verifying it.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar.durable import StateError, make_directory, read_file, write_file
from policy_core.bundle import MAX_BUNDLE_BYTES
from policy_core.errors import TrustError
from policy_core.trust.chain import MetadataChain, VerifiedRelease, verify_chain
from policy_core.trust.release import Release

MAX_CHAIN_BYTES = 64 << 20
BUNDLE = "bundle.tar.gz"


class SnapshotError(TrustError):
    """A snapshot on disk is missing, damaged or no longer vouched for by the trust root."""

    default_hint = "the next poll fetches the channel's release again; check the disk"


class SnapshotRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a snapshot: SHA-256 of the bundle (64 hex digits), the release that listed it, and its revision."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    release: Annotated[int, msgspec.Meta(ge=0)]
    revision: str

    @classmethod
    def of(cls, release: Release) -> "SnapshotRef":
        """Return the reference of a verified release."""
        return cls(release.sha256, release.release, release.revision)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that verified: what was signed, and the bytes that match it."""

    release: Release
    verified: VerifiedRelease
    blob: bytes


class _SavedChain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metadata chain as one file: each document exactly as signed (JSON is text, so it stays readable)."""

    roots: tuple[str, ...]
    timestamp: str
    snapshot: str
    targets: str
    channel: str
    oncall: str = ""


class SnapshotFolder:
    """The folder ``snapshots``; only the process that holds the state lock writes to it."""

    def __init__(self, directory: Path, *, group_reads: bool = False) -> None:
        """Open the folder; with `group_reads` its group may read what is written from now on."""
        self._directory = directory
        self._group_reads = group_reads

    def bundle(self, sha256: str) -> bytes | None:
        """Return the bundle if it is on disk and intact, else None."""
        try:
            blob = read_file(self._directory / sha256 / BUNDLE, max_bytes=MAX_BUNDLE_BYTES)
        except (FileNotFoundError, StateError):
            return None
        return blob if hashlib.sha256(blob).hexdigest() == sha256 else None

    def save(self, ref: SnapshotRef, blob: bytes, chain: MetadataChain) -> None:
        """Write a snapshot durably, or just its chain if the bundle is there already. Raises StateError."""
        folder = self._directory / ref.sha256
        make_directory(self._directory, group_reads=self._group_reads)
        make_directory(folder, group_reads=self._group_reads)
        if self.bundle(ref.sha256) is None:
            write_file(folder / BUNDLE, blob, group_reads=self._group_reads)
        self.save_chain(ref, chain)

    def save_chain(self, ref: SnapshotRef, chain: MetadataChain) -> None:
        """Replace the chain of a snapshot by a newer one for the same release. Raises StateError."""
        saved = _SavedChain(
            tuple(root.decode() for root in chain.roots),
            chain.timestamp.decode(), chain.snapshot.decode(), chain.targets.decode(), chain.channel.decode(),
            chain.oncall.decode(),
        )  # fmt: skip
        write_file(self._chain_path(ref), msgspec.json.encode(saved), group_reads=self._group_reads)

    def chain(self, ref: SnapshotRef) -> MetadataChain | None:
        """Return the chain kept for a release, unverified; None if it is missing or damaged."""
        try:
            return self._read_chain(ref)
        except (FileNotFoundError, ValueError, RecursionError, StateError):
            return None

    def load(self, ref: SnapshotRef, *, trusted_root: bytes, channel: str, min_release: int = 0) -> Snapshot:
        """Return the snapshot, its chain verified again from the trust root (expiry is reported, not enforced).

        Raises SnapshotError.
        """
        where = f"snapshot {ref.sha256[:12]}"
        try:
            verified = verify_chain(self._read_chain(ref), trusted_root=trusted_root, channel=channel)
        except FileNotFoundError as error:
            raise SnapshotError(f"{where}: its metadata for release {ref.release} is missing") from error
        except (ValueError, RecursionError, StateError) as error:
            raise SnapshotError(f"{where}: its metadata for release {ref.release} is damaged: {error}") from error
        except TrustError as error:
            raise SnapshotError(f"{where}: {error.message}") from error
        release = verified.release
        if release is None or SnapshotRef.of(release) != ref:
            raise SnapshotError(f"{where}: its metadata authorises another release than {ref.release}")
        if ref.release < min_release:
            raise SnapshotError(f"{where}: release {ref.release} is below the least this host accepts ({min_release})")
        blob = self.bundle(ref.sha256)
        if blob is None or len(blob) != release.length:
            raise SnapshotError(f"{where}: its bundle is missing or damaged")
        return Snapshot(release, verified, blob)

    def open_to_group(self) -> None:
        """Let its group read what was written before. Raises StateError."""
        for file in self._directory.glob("*/*"):
            for folder in (self._directory, file.parent):
                make_directory(folder, group_reads=True)
            with contextlib.suppress(FileNotFoundError):
                file.chmod(0o640)

    def collect(self, keep: Iterable[SnapshotRef]) -> None:
        """Delete what no reference in `keep` needs; call it only once a state that holds exactly these is durable."""
        kept = list(keep)
        wanted = {self._chain_path(ref) for ref in kept} | {self._directory / ref.sha256 / BUNDLE for ref in kept}
        bundles = {ref.sha256 for ref in kept}
        for folder in self._directory.iterdir() if self._directory.is_dir() else ():
            if folder.name not in bundles:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for file in folder.iterdir():
                if file not in wanted:
                    with contextlib.suppress(OSError):  # it will go with its folder
                        file.unlink()

    def _read_chain(self, ref: SnapshotRef) -> MetadataChain:
        saved = msgspec.json.decode(read_file(self._chain_path(ref), max_bytes=MAX_CHAIN_BYTES), type=_SavedChain)
        return MetadataChain(
            roots=tuple(root.encode() for root in saved.roots),
            timestamp=saved.timestamp.encode(),
            snapshot=saved.snapshot.encode(),
            targets=saved.targets.encode(),
            channel=saved.channel.encode(),
            oncall=saved.oncall.encode(),
        )

    def _chain_path(self, ref: SnapshotRef) -> Path:
        return self._directory / ref.sha256 / f"release-{ref.release}.json"
