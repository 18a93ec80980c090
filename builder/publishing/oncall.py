"""What one person on call can do alone: go back to a release that the channel offers, and deny or revoke for a while.

Each is one new version of the channel's on-call role and a release of the channel, committed like any other. Nothing is
built, tested or gated: all it can make live was live before, and all it can add tightens.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from builder.publishing import metadata
from builder.publishing.commit import NothingToDo, Outcome, repeat
from builder.publishing.publisher import Publisher
from builder.publishing.rollback import NoSuchReleaseError, earlier_releases, find_release
from builder.publishing.state import LiveState
from builder.publishing.transaction import Change, WrittenSnapshot, make_live
from builder.publishing.writing import put_numbered
from policy_core.emergency import check_entries, in_force
from policy_core.errors import ConflictError, UsageError
from policy_core.trust import layout
from policy_core.trust.chain import has_oncall
from policy_core.trust.history import HistoryEntry
from policy_core.trust.oncall import MAX_EMERGENCIES, Emergency, OncallDocument, select
from policy_core.trust.release import EMERGENCY, ROLLBACK, Release


class NoOncallRoleError(UsageError):
    """Nobody is on call for the channel."""


class NoSuchEntryError(UsageError):
    """No emergency entry of that name is in force."""


def can_act(publisher: Publisher, state: LiveState) -> bool:
    """Tell whether the channel has an on-call role and a key of it is here; whether it is good shows when it signs."""
    role = layout.oncall_role(publisher.channel)
    return has_oncall(state.targets, publisher.channel) and publisher.key_ring.has(role)


def roll_back_on_call(publisher: Publisher, *, to: int | None, reason: str, actor: str) -> Outcome:
    """Make a bundle that the channel offers live again, as a new release signed by the on-call key.

    Without `to` it is the one that `offered_before` finds. Raises NoSuchReleaseError, NoOncallRoleError, ConflictError,
    TrustError, RemoteError, and for keys UsageError.
    """

    def propose(state: LiveState, live: Release) -> OncallDocument | NothingToDo:
        offered = state.verified.channel.selectable
        if to is not None:
            old = _offered(offered, to, live)
        else:
            old = offered_before(live, offered, publisher.reader.history(state))
        if old.sha256 == live.sha256:
            return NothingToDo(f"release {live.release}, which is live, has the bundle of release {old.release}")
        return OncallDocument(
            release=live.release + 1, selected=old.sha256, action=ROLLBACK, reason=reason, actor=actor
        )

    return _act(publisher, propose)


def add_emergency(publisher: Publisher, entry: Emergency) -> Outcome:
    """Put an emergency entry in force.

    Raises ConflictError if there is one of that id, or no room for another, UsageError if it is over already, else as
    `roll_back_on_call`.
    """

    def propose(state: LiveState, live: Release) -> OncallDocument:
        if any(entry.id == each.id for each in _in_force(publisher, state)):
            raise ConflictError(f"emergency {entry.id}: is in force already", hint="lift it first, or use another id")
        signed_at = publisher.signing_time(state)
        if entry.expires <= signed_at:
            raise UsageError(
                f"emergency {entry.id}: would be over when it is signed, at {layout.format_time(signed_at)}",
                hint="the clock of this machine is behind the last time signed: correct it",
            )
        return _emergency(live, (entry,), reason=entry.reason, actor=entry.actor)

    return _act(publisher, propose)


def lift_emergency(publisher: Publisher, entry_id: str, *, reason: str, actor: str) -> Outcome:
    """End an emergency entry before it expires. Raises NoSuchEntryError, else as `roll_back_on_call`."""

    def propose(state: LiveState, live: Release) -> OncallDocument:
        known = [each.id for each in _in_force(publisher, state)]
        if entry_id not in known:
            raise NoSuchEntryError(
                f"emergency {entry_id}: is not in force", hint=f"in force: {', '.join(known) or 'nothing'}"
            )
        return _emergency(live, (), reason=reason, actor=actor)

    return _act(publisher, propose, without=entry_id)


def offered_before(live: Release, offered: Sequence[Release], history: Iterable[HistoryEntry]) -> Release:
    """Return the newest release that `roll_back` might go to and that the channel offers to people on call.

    So it never returns to what was rolled back before. Raises NoSuchReleaseError, and what `history` raises.
    """
    by_bundle = {each.sha256: each for each in offered}
    oldest = min(each.release for each in offered)
    for release in earlier_releases((entry.release for entry in history if entry.release), live):
        if release.release < oldest:
            break
        if release.sha256 in by_bundle:
            return by_bundle[release.sha256]
    raise NoSuchReleaseError(
        f"channel {live.channel}: offers no earlier release with another policy than the live one ({live.release})",
        hint="`writ verify` shows all releases; going to others takes the channel's own signatures: add --propose",
    )


def _emergency(live: Release, added: tuple[Emergency, ...], *, reason: str, actor: str) -> OncallDocument:
    return OncallDocument(
        release=live.release + 1,
        selected=live.sha256,
        action=EMERGENCY,
        reason=reason,
        actor=actor,
        emergency=added,
    )


def _act(
    publisher: Publisher,
    propose: Callable[[LiveState, Release], OncallDocument | NothingToDo],
    *,
    without: str = "",
) -> Outcome:
    """Sign and commit what `propose` makes of a state; entries are kept, but for the one named `without`.

    That is, those that were in force when the store was signed last: a clock that is ahead here must not lift them.
    """
    channel, role = publisher.channel, layout.oncall_role(publisher.channel)

    def step(state: LiveState, written: WrittenSnapshot) -> Outcome:
        live, said = state.verified.release, state.verified.channel
        if not has_oncall(state.targets, channel):
            raise NoOncallRoleError(
                f"channel {channel}: nobody is on call for it", hint=f"`writ keys add {role}` gives it an on-call key"
            )
        if live is None:
            raise NoSuchReleaseError(f"channel {channel}: nothing was ever released")
        proposed = propose(state, live)
        if isinstance(proposed, NothingToDo):
            return Outcome(live, committed=False, note=proposed.reason)
        gone = {without, *(entry.id for entry in proposed.emergency)}
        last = state.verified.signed_at.timestamp()
        kept = tuple(entry for entry in in_force(state.verified.emergency, last) if entry.id not in gone)
        if len(kept) + len(proposed.emergency) > MAX_EMERGENCIES:
            raise ConflictError(
                f"channel {channel}: {len(kept)} entries are in force, which is as many as there can be",
                hint="lift one that is needed no longer, or deny more with one entry: writ emergency list, lift",
            )
        document = replace(proposed, emergency=(*kept, *proposed.emergency))
        check_entries(document.emergency)
        written.release = select(document, said.listed, said.selectable)
        now = publisher.signing_time(state)
        version, data = put_numbered(
            publisher.store,
            role,
            state.verified.versions[role] + 1,
            lambda version: publisher.sign(role, metadata.oncall_role(version, document, now), state),
        )
        change = Change({role: metadata.pin_of(version, data)}, {channel: written.release})
        make_live(publisher, {channel: state}, change, written)
        return Outcome(written.release, committed=True)

    return repeat(publisher, step)


def _in_force(publisher: Publisher, state: LiveState) -> tuple[Emergency, ...]:
    return in_force(state.verified.emergency, publisher.clock().timestamp())


def _offered(offered: Sequence[Release], number: int, live: Release) -> Release:
    try:
        return find_release(offered, number, live)
    except NoSuchReleaseError as error:
        numbers = ", ".join(str(each.release) for each in offered)
        raise NoSuchReleaseError(
            f"channel {live.channel}: people on call cannot go to release {number}",
            hint=f"they can go to {numbers}; anything else takes the channel's own signatures: add --propose",
        ) from error
