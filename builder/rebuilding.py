"""Does a release hold what its commit gives? Its provenance is read, and its bundle built again from git.

A signature says who released something, not that it is what people reviewed. Whoever holds a channel's keys, or owns
the machine that builds, can sign any bundle; only building it again elsewhere tells.
"""

from collections.abc import Callable, Sequence

from securesystemslib.signer import Key

from builder.compiling import bundle_of, compile_tree
from builder.ledger.commits import SourceMissingError
from builder.publishing.provenance import DISTRIBUTION, Provenance, ProvenanceError, fetch_provenance
from builder.publishing.rollback import NoSuchReleaseError, find_release
from builder.publishing.staging import check_bundle
from builder.source import PolicyRepository
from bundle_store.client import read_signed
from bundle_store.port import Store
from policy_core import __version__
from policy_core.bundle import Bundle
from policy_core.errors import InvalidPolicyError, TrustError, UsageError
from policy_core.trust import layout
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import Release

LIVE = "live"
MAX_NAMED_FILES = 5
MAX_DIGITS = 16  # of a release number, which is below 2^53

_ALARM = (
    "the bundle holds what was never committed: roll back to a release that rebuilds, then find out who holds the keys "
    "of the channel"
)


class RebuildError(TrustError):
    """The commit a release names gives another bundle, or none; `problems` says why none."""

    default_hint = _ALARM


HistoryOf = Callable[[str], Sequence[HistoryEntry]]
"""Returns the history of a channel of the store, newest first; raises as `ChannelReader.read` and its `history`."""


def provenance_of(store: Store, release: Release, history_of: HistoryOf) -> Provenance | None:
    """Return the verified provenance of a release, None if it has none.

    A rollback and a promotion carry on the provenance of what they take, so the keys are those of when the channel it
    was built for first released it. Raises ProvenanceError, RemoteError, and what `history_of` raises.
    """

    def keys_of(channel: str) -> Sequence[Key]:
        for entry in reversed(history_of(channel)):
            if entry.release and entry.release.provenance_sha256 == release.provenance_sha256:
                return entry.keys
        raise ProvenanceError(f"provenance of release {release.release}: {channel} never released it")

    return fetch_provenance(store, release, keys_of)


def rebuild_release(
    repository: PolicyRepository, store: Store, release: Release, provenance: Provenance | None
) -> Release:
    """Build the bundle of a release again and return the release if the content is the same.

    Raises RebuildError, SourceMissingError, TrustError for a damaged bundle, RemoteError, UsageError.
    """
    name = layout.target_object(release.channel, release.name, release.sha256)
    released = check_bundle(release, read_signed(store, name, max_bytes=release.length).body)
    where = f"release {release.release} of {release.channel}: its commit {release.revision[:12]}"
    hint = _hint(provenance)
    try:
        repository.resolve(release.revision)
    except UsageError as error:
        raise SourceMissingError(f"{where} is not in this clone") from error
    try:
        _, built = bundle_of(compile_tree(repository.tree(release.revision), today=None))
    except InvalidPolicyError as error:
        failed = RebuildError(f"{where} cannot be built", hint=hint)
        failed.problems = error.problems
        raise failed from error
    if built.content_sha256 != released.content_sha256:
        raise RebuildError(
            f"{where} gives content sha256:{built.content_sha256} (released: sha256:{released.content_sha256}); "
            f"different: {_different(built, released)}",
            hint=hint,
        )
    return release


def find_asked(history: Sequence[HistoryEntry], which: str) -> Release:
    """Return the release that `which` names: a number, or `LIVE`. Raises NoSuchReleaseError, UsageError."""
    live = history[0].release
    if live is None:
        raise NoSuchReleaseError("--rebuild: nothing was ever released")
    if which == LIVE:
        return live
    if not (which.isascii() and which.isdecimal() and len(which) <= MAX_DIGITS):
        raise UsageError(f"--rebuild {which!a}: is no release", hint=f"give its number, or {LIVE}")
    return find_release((entry.release for entry in history if entry.release), int(which), live)


def _hint(provenance: Provenance | None) -> str | None:
    """Return what to do first if the builder was another one, which may compile the same commit otherwise."""
    if provenance is None:
        return f"it does not say which version built it: try those of its time. If none gives this content, {_ALARM}"
    if provenance.version != __version__:
        return (
            f"it was built by {DISTRIBUTION} {provenance.version}, this is {__version__}: build with that version. "
            f"If that does not give this content either, {_ALARM}"
        )
    return None


def _different(built: Bundle, released: Bundle) -> str:
    paths = sorted(
        path for path in {**built.files, **released.files} if built.files.get(path) != released.files.get(path)
    )
    more = f" and {len(paths) - MAX_NAMED_FILES} more" if len(paths) > MAX_NAMED_FILES else ""
    return (", ".join(paths[:MAX_NAMED_FILES]) or "the manifest") + more
