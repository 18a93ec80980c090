"""A bundle: the compiled policy of one revision, its manifest, and the three digests that name it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from policy_core.bundle.archive import compress, decompress, read_tar, write_tar
from policy_core.bundle.digest import tree_digest
from policy_core.errors import InvalidError
from policy_core.features import BASIC, SUPPORTED
from policy_core.large import decode_in_pieces
from policy_core.model import Provisions
from policy_core.provisions import decode_provisions

FORMAT = 1

MANIFEST, MATCHER, DATA, SELFTEST = "manifest.json", "matcher.jsonl", "data.json", "selftest.jsonl"
PROVISIONS = "provisions.json"


class BundleError(InvalidError):
    """The archive is well formed, but not a bundle this version can use."""

    default_hint = "upgrade the sidecar if a feature is missing; otherwise build and publish the bundle again"


class ManifestEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Length in bytes and SHA-256 (64 hex digits) of one file in the bundle."""

    path: str
    length: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The list a bundle is checked against. `dirty` marks a bundle of uncommitted files, which is never published."""

    format: int
    name: str
    revision: str
    requires: tuple[str, ...]
    entries: tuple[ManifestEntry, ...]
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: `files` maps each path but the manifest to its content; digests are 64 hex digits.

    `sha256` is over the file (what TUF pins), `content_sha256` over the uncompressed tar (what a rebuild is compared
    by), `policy_sha256` over the files without the manifest (equal: the policy is the same).
    """

    name: str
    revision: str
    dirty: bool
    requires: tuple[str, ...]
    files: Mapping[str, bytes]
    sha256: str
    content_sha256: str
    policy_sha256: str

    @property
    def provisions(self) -> Provisions:
        """Return what the policy consists of beside its rules. Raises BundleError or ProvisionsError."""
        try:
            data = decode_in_pieces(self.files.get(DATA, b"{}"))
            if type(data) is not dict:
                raise BundleError(f"bundle {self.name}: {DATA}: is no object")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BundleError(f"bundle {self.name}: {DATA}: {error}") from error
        beside = decode_provisions(self.files[PROVISIONS]) if PROVISIONS in self.files else Provisions()
        return msgspec.structs.replace(beside, data=data)


def build_bundle(
    *, name: str, revision: str, dirty: bool, files: Mapping[str, bytes], features: Iterable[str] = BASIC
) -> tuple[bytes, Bundle]:
    """Return the archive and its description; the same arguments give the same bytes on every supported Python.

    `features` are what a sidecar must know to evaluate the rules in `files`.

    Raises ArchiveError for a path or a total that cannot be stored.
    """
    requires = tuple(sorted(features))
    entries = tuple(ManifestEntry(path, len(files[path]), _sha256(files[path])) for path in sorted(files))
    manifest = Manifest(FORMAT, name, revision, requires, entries, dirty)
    tar = write_tar({**files, MANIFEST: msgspec.json.encode(manifest) + b"\n"})
    blob = compress(tar)
    return blob, Bundle(name, revision, dirty, requires, dict(files), _sha256(blob), _sha256(tar), tree_digest(files))


def read_bundle(blob: bytes) -> Bundle:
    """Return the bundle in an archive, every file checked against the manifest; nothing is written anywhere.

    Raises ArchiveError for hostile or damaged bytes, BundleError for an unknown format, a missing feature (by name), or
    files that do not match the manifest.
    """
    tar = decompress(blob)
    files = read_tar(tar)
    manifest = _manifest(files.pop(MANIFEST, None))
    missing = [feature for feature in manifest.requires if feature not in SUPPORTED]
    if missing:
        raise BundleError(f"bundle {manifest.name}: requires {', '.join(missing)}, which this version lacks")
    found = tuple(ManifestEntry(path, len(content), _sha256(content)) for path, content in files.items())
    if found != manifest.entries:
        raise BundleError(f"bundle {manifest.name}: files do not match the manifest")
    if MATCHER not in files:
        raise BundleError(f"bundle {manifest.name}: {MATCHER} is missing")
    return Bundle(
        manifest.name, manifest.revision, manifest.dirty, manifest.requires, files,
        _sha256(blob), _sha256(tar), tree_digest(files),
    )  # fmt: skip


def _manifest(content: bytes | None) -> Manifest:
    if content is None:
        raise BundleError(f"bundle: {MANIFEST} is missing")
    try:
        version = msgspec.json.decode(content, type=dict[str, Any]).get("format")
        if version != FORMAT:
            raise BundleError(f"bundle: unknown format (expected {FORMAT}, found {version!r})")
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"bundle: {MANIFEST}: {error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
