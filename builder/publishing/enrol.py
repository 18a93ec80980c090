"""A channel that ``writ.yaml`` names and the store does not have yet: ``writ keys add-channel``.

Order: the channel's key, then targets, which delegate it, its first role, and the rest of a commit. The key is made
first and never overwritten, so a run that was cut short is completed by the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from securesystemslib.signer import Key

from builder.publishing.before import Before, read_before
from builder.publishing.carrying_out import change_keys
from builder.publishing.channels import delegated_channels, read_channels
from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange, Wish
from builder.publishing.private_keys import KeyMissingError
from builder.publishing.publisher import Publisher
from policy_core.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Signatory:
    """A role that must sign: how many of its keys, where its key is here (empty: nowhere), and whether it is new."""

    role: str
    threshold: int
    keys: int
    source: str
    new_key: bool = False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What adding a channel changes: versions now and then, and who must sign; nothing if it is there already."""

    channel: str
    there: bool
    targets_version: int
    signatories: tuple[Signatory, ...]


def preview_enrolment(channel: str, publishers: Mapping[str, Publisher]) -> Enrolment:
    """Return what adding `channel` would change; nothing is written, not even a key.

    `publishers` is by channel, of one store, the new one included. Raises TrustError, RemoteError.
    """
    key_ring = publishers[channel].key_ring
    states = read_channels(lambda name: publishers[name].reader, tuple(publishers))
    state = next(iter(states.values()))
    version = state.verified.versions["targets"]
    if channel in delegated_channels(state):
        return Enrolment(channel, there=True, targets_version=version, signatories=())
    signatories = [
        Signatory(
            role, state.threshold(role), len(state.keys(role)), key_ring.source(role) if key_ring.has(role) else ""
        )
        for role in ("targets", "snapshot", "timestamp")
    ]
    own = Signatory(channel, 1, 1, key_ring.source(channel), new_key=not key_ring.has(channel))
    return Enrolment(channel, there=False, targets_version=version, signatories=(own, *signatories))


def enrol(channel: str, publishers: Mapping[str, Publisher]) -> bool:
    """Add `channel`, making its key if there is none, and tell whether that was needed; safe to repeat.

    `publishers` as for `preview_enrolment`. Raises KeyMissingError before anything is written if somebody else must
    sign, ConflictError if the channel is there with another key than the one here, TrustError, RemoteError.
    """
    preview = preview_enrolment(channel, publishers)
    absent = [signatory.role for signatory in preview.signatories if not signatory.source or signatory.threshold > 1]
    if absent:
        raise KeyMissingError(
            f"channel {channel}: must be signed by {', '.join(absent)} too, whose keys are not all here",
            hint="`writ keys show` lists the keys of each role; -o FILE writes what they have to sign",
        )
    change_keys(publishers, enrolment(channel, publishers))
    return not preview.there


def enrolment(channel: str, publishers: Mapping[str, Publisher]) -> Wish:
    """Return the change that adds `channel`, with a key that is made here if there is none and it is not there yet.

    `publishers` as for `preview_enrolment`. Raises ConflictError, also later, if it is there with another key than the
    one here, TrustError, RemoteError.
    """
    key_ring = publishers[channel].key_ring
    if not key_ring.has(channel) and channel not in delegated_channels(read_before(publishers).state):
        key_ring.create(channel)
    key = key_ring.public_key(channel) if key_ring.has(channel) else None
    return lambda before: _change(channel, key, before)


def _change(channel: str, key: Key | None, before: Before) -> KeyChange | None:
    if channel not in delegated_channels(before.state):
        return KeyChange({channel: Holders((key,), 1)}) if key else None
    if key is not None and key.keyid not in {known.keyid for known in before.state.keys(channel)}:
        raise ConflictError(
            f"channel {channel}: is there already, with another key than the one here",
            hint="`writ keys show` tells which; whoever added it has that key",
        )
    return None
