"""Several roles signed anew at once, before they expire, with the keys they have and nothing else changed.

Same order as a publish (see `builder.publishing.commit`): everything new under a name of its own, a real client of
every channel, then one conditional write of ``timestamp.json``. A new root is the one thing that hosts see before that:
it is verified with all the rest first, keeps its keys, and is good with the old timestamp, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from securesystemslib.signer import Key
from tuf.api.metadata import MetaFile, Targets

from builder.publishing import metadata
from builder.publishing.channels import read_channels
from builder.publishing.keys import AnyRole
from builder.publishing.publisher import Publisher
from builder.publishing.state import LiveState
from builder.publishing.transaction import Change, make_live
from builder.publishing.writing import RaceLostError, attempts, put_numbered
from policy_core.trust import layout

States = Mapping[str, LiveState]


@dataclass(frozen=True, slots=True)
class RoleChange:
    """Roles to sign anew as they are."""

    renewed: frozenset[str]


def change_roles(
    publishers: Mapping[str, Publisher], propose: Callable[[States], RoleChange | None]
) -> RoleChange | None:
    """Commit what `propose` asks for on top of the live states, and return it; None: there was nothing to do.

    `publishers` is by channel, of one store; those whose channel it does not have are passed over. `propose` is asked
    again after every lost race. Raises ConflictError after too many of them, TrustError, RemoteError, and what
    `propose` and the signers raise.
    """
    publisher = next(iter(publishers.values()))
    for _ in attempts(publisher.store.url):
        states = read_channels(lambda channel: publishers[channel].reader, tuple(publishers))
        change = propose(states)
        if change is None:
            return None
        try:
            _commit_once(publisher, states, change)
        except RaceLostError:
            continue
        return change
    raise AssertionError  # `attempts` raises


def _commit_once(publisher: Publisher, states: States, change: RoleChange) -> None:
    """Go from the live states to the changed ones; raises RaceLostError if the live ones are others by now."""
    state = next(iter(states.values()))
    now = publisher.signing_time(state)
    pins: dict[str, MetaFile] = {}

    def put(role: str, make: Callable[[int], AnyRole], keys: Sequence[Key]) -> None:
        live = state.snapshot.meta.get(f"{role}.json")
        version, data = put_numbered(
            publisher.store,
            role,
            live.version + 1 if live else 1,
            lambda version: publisher.key_ring.sign(role, make(version), keys),
        )
        pins[role] = metadata.pin_of(version, data)

    if Targets.type in change.renewed:
        put(Targets.type, partial(metadata.next_targets, live=state.targets, now=now), state.keys(Targets.type))
    for channel, seen in states.items():
        said, oncall = seen.verified.channel, layout.oncall_role(channel)
        if channel in change.renewed:
            put(
                channel,
                partial(metadata.channel_role, release=said.listed, live=said, now=now),
                state.keys(channel),
            )
        if oncall in change.renewed:
            put(oncall, partial(metadata.oncall_role, document=said.oncall, now=now), state.keys(oncall))
    root = b""
    if "root" in change.renewed:
        root = publisher.sign("root", metadata.next_root(state.root, now), state)
    releases = {channel: seen.verified.release for channel, seen in states.items()}
    make_live(publisher, states, Change(pins, releases, root, renew_snapshot="snapshot" in change.renewed))
