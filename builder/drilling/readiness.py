"""What would be missing in earnest, found by reading alone: keys that are not here, bundles that are gone, expiry.

Each finding is the error that the command would end with at night, hint and exit code included.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.ledger.branch import check_store_is_current
from builder.publishing.holdings import A_SERVICE, ENCRYPTED, held_key
from builder.publishing.keys import KeyRing
from builder.publishing.oncall import NoOncallRoleError, offered_before
from builder.publishing.private_keys import KeyMissingError
from builder.publishing.publisher import system_clock
from builder.publishing.staging import check_bundle
from builder.publishing.state import ChannelReader, LiveState
from builder.publishing.workspace import Workspace
from bundle_store.client import read_signed
from bundle_store.opening import open_store
from bundle_store.port import Store
from policy_core.errors import KnownError
from policy_core.trust import layout
from policy_core.trust.chain import has_oncall
from policy_core.trust.errors import ExpiredError
from policy_core.trust.release import Release


def fetch_bundles(store: Store, offered: Sequence[Release]) -> tuple[list[tuple[Release, bytes]], list[KnownError]]:
    """Return the releases on offer with their bundles, verified, and what is wrong with the others."""
    found: list[tuple[Release, bytes]] = []
    missing: list[KnownError] = []
    for release in offered:
        name = layout.target_object(release.channel, release.name, release.sha256)
        try:
            blob = read_signed(store, name, max_bytes=release.length).body
            check_bundle(release, blob)
        except KnownError as error:
            missing.append(error)
        else:
            found.append((release, blob))
    return found, missing


def find_target(reader: ChannelReader, state: LiveState, live: Release) -> Release | KnownError:
    """Return the release that an on-call rollback would go to, or why there is none."""
    try:
        return offered_before(live, state.verified.channel.selectable, reader.history(state))
    except KnownError as error:
        return error


@dataclass(frozen=True, slots=True)
class Readiness:
    """What is missing in earnest, and keys (role and why) of which only signing would tell whether they are right."""

    missing: tuple[KnownError, ...]
    untried: tuple[str, ...]


def look_around(workspace: Workspace, channel: str, state: LiveState, live: Release) -> Readiness:
    """Return what an on-call rollback and an emergency deny would fail with, as far as that shows without signing."""
    missing = [*_surroundings(workspace, channel, live)]
    oncall = layout.oncall_role(channel)
    signing = [oncall, "snapshot", "timestamp"]
    if not has_oncall(state.targets, channel):
        signing.remove(oncall)
        hint = f"`writ keys add {oncall}` gives it an on-call key"
        missing.append(NoOncallRoleError(f"channel {channel}: nobody is on call for it", hint=hint))
    untried = []
    for role in signing:
        held, note = held_key(role, state.keys(role), workspace.key_ring)
        if note in {A_SERVICE, ENCRYPTED}:
            untried.append(f"{role} ({note})")
        elif not held:
            missing.append(_key_missing(workspace.key_ring, role, note))
    missing += _expired(state, ("root", "targets", channel))  # which nobody on call can sign anew
    return Readiness(tuple(missing), tuple(untried))


def _surroundings(workspace: Workspace, channel: str, live: Release) -> Iterator[KnownError]:
    """Yield what is wrong with the clone, and with the address of the store."""
    for check in (
        workspace.repository.require_history,
        lambda: check_store_is_current(workspace.repository.git, channel, live.release),
        lambda: open_store(workspace.project.store),
    ):
        try:
            check()
        except KnownError as error:
            yield error


def _key_missing(key_ring: KeyRing, role: str, note: str) -> KeyMissingError:
    source = key_ring.source(role)
    why = f"the key at {source}: {note}" if note else f"no key at {source}"
    return KeyMissingError(f"role {role}: {why}", hint="on call needs it at hand: put it there, or name its signer")


def _expired(state: LiveState, roles: Sequence[str]) -> Iterator[KnownError]:
    now = system_clock()
    for role in roles:
        expires = state.verified.expires[role]
        if expires <= now:
            yield ExpiredError(
                f"role {role}: expired on {expires:%Y-%m-%d}, so hosts would refuse every release",
                hint="`writ maintain` signs it anew where its keys are; where several people sign, `writ keys renew`",
            )
