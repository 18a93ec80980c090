"""What it takes to change who holds which role: the role files that are new then, and who must sign each.

Pure, and the only place where such role files are made: a command makes them to be signed, and whoever is handed a
ceremony file makes them again and compares. Top-level roles are held in root, channels and on-call roles in targets. A
role whose live file has too few signatures under its new holders is signed anew in the same change: otherwise hosts
would refuse it.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tuf.api.metadata import DelegatedRole, Delegations, Key, Role, Root, Targets

from builder.publishing import metadata
from builder.publishing.before import Before
from builder.publishing.holders import NOBODY, Holders, HoldersError, check_holding, find_key, holders_of
from policy_core.trust import layout
from policy_core.trust.recovery import accepts

RoleFile = Root | Targets


@dataclass(frozen=True, slots=True)
class KeyChange:
    """New holders by role, and roles whose files are signed anew although nothing else about them changes."""

    holders: Mapping[str, Holders] = field(default_factory=dict)
    renewed: frozenset[str] = frozenset()


Wish = Callable[[Before], KeyChange | None]
"""Says what to change on top of a state, None if nothing; asked again after every lost race."""


@dataclass(frozen=True, slots=True)
class RoleFiles:
    """The new role files of a change, unsigned, by role, and who must sign each: all of them, each by its threshold."""

    files: Mapping[str, RoleFile]
    signers: Mapping[str, tuple[Holders, ...]]


def make_role_files(
    before: Before, change: KeyChange, *, version_of: Callable[[str], int], expires_of: Callable[[str], datetime]
) -> RoleFiles:
    """Return the role files that a change makes on top of a state.

    `version_of` and `expires_of` are asked for each role that gets a new file. Raises HoldersError.
    """
    state = before.state
    _check_roles(before, change)
    check_holding(before.holding, {**before.holding, **change.holders})
    files: dict[str, RoleFile] = {}
    # 1. Root, if it says something new.
    root = state.root
    top_level = {role: holders for role, holders in change.holders.items() if role in layout.TOP_LEVEL_ROLES}
    if top_level or Root.type in change.renewed:
        root = files[Root.type] = _next_root(root, top_level)
    # 2. Targets, likewise, or if its signatures are too few under that root.
    targets = state.targets
    delegated = {role: holders for role, holders in change.holders.items() if role not in layout.TOP_LEVEL_ROLES}
    if delegated or Targets.type in change.renewed or not accepts(root, Targets.type, state.chain.targets, Targets):
        targets = files[Targets.type] = _next_targets(targets, delegated)
    # 3. Channels and on-call roles: new ones, and those whose signatures are too few under those targets.
    for role in (*_roles_of(before), *(role for role in delegated if not before.version(role))):
        if role not in files and (role in change.renewed or not accepts(targets, role, before.data(role), Targets)):
            files[role] = _next_delegated(before, role)
    for role, file in files.items():
        file.version, file.expires = version_of(role), expires_of(role)
        if data := before.data(role):
            file.unrecognized_fields[metadata.BASE] = metadata.base_of(before.version(role), data)
    signers: dict[str, tuple[Holders, ...]] = {
        role: (holders_of(root if role == Targets.type else targets, role),) for role in files
    }
    if Root.type in files:  # TUF 5.3.4: by the threshold of the old one and of the new one
        signers[Root.type] = tuple(dict.fromkeys((holders_of(state.root, Root.type), holders_of(root, Root.type))))
    return RoleFiles(files, signers)


def change_holders(
    before: Before, role: str, *, added: Sequence[Key] = (), removed: Sequence[str] = (), threshold: int = 0
) -> KeyChange:
    """Return the change of one role by keys that are added, and removed by owner or id; 0 keeps the threshold.

    The first keys of an on-call role make it. Raises HoldersError.
    """
    held = before.holding.get(role, NOBODY)
    gone = [find_key(role, held, name) for name in removed]
    changed = held.changed(added=added, removed=gone, threshold=threshold)
    if changed == held:
        raise HoldersError(f"role {role}: has these keys and this threshold already")
    if not before.version(role) and layout.is_channel(role):
        raise HoldersError(f"role {role}: there is no such channel", hint=f"`writ keys add-channel {role}` adds it")
    return KeyChange({role: changed})


def lifetime_of(role: str) -> timedelta:
    """Return how long a role file that people sign is good for."""
    if role in {Root.type, Targets.type}:
        return metadata.ROOT_LIFETIME if role == Root.type else metadata.TARGETS_LIFETIME
    return metadata.CHANNEL_LIFETIME if layout.is_channel(role) else metadata.ONCALL_LIFETIME


def _check_roles(before: Before, change: KeyChange) -> None:
    there = {*layout.TOP_LEVEL_ROLES, *_roles_of(before)}
    for role in change.holders.keys() - there:
        channel = role.partition(".")[0]
        if before.version(role) or not (layout.is_channel(role) or layout.is_oncall(role)):
            raise HoldersError(f"role {role}: is none of this store's roles", hint="`writ keys show` lists them")
        if role != channel and channel not in before.states:
            raise HoldersError(f"role {role}: there is no channel {channel}", hint="`writ keys add-channel` adds one")
    for role in change.renewed - (there - {"snapshot", "timestamp"}) - change.holders.keys():
        raise HoldersError(f"role {role}: is none that people sign anew", hint="`writ keys show` lists all roles")


def _roles_of(before: Before) -> list[str]:
    """Return the channels that were read and their on-call roles, as far as they have one."""
    named = [role for channel in before.states for role in (channel, layout.oncall_role(channel))]
    return [role for role in named if before.version(role)]


def _next_root(live: Root, holders: Mapping[str, Holders]) -> Root:
    root = copy.deepcopy(live)
    for role, held in holders.items():
        root.roles[role] = Role([key.keyid for key in held.keys], held.threshold)
    known = live.keys | {key.keyid: key for held in holders.values() for key in held.keys}
    used = sorted({keyid for role in root.roles.values() for keyid in role.keyids})
    root.keys = {keyid: known[keyid] for keyid in used}
    return root


def _next_targets(live: Targets, holders: Mapping[str, Holders]) -> Targets:
    targets = copy.deepcopy(live)
    roles = dict((live.delegations.roles if live.delegations else None) or {})
    known = {key.keyid: key for role in roles for key in holders_of(live, role).keys}
    known |= {key.keyid: key for held in holders.values() for key in held.keys}
    for role, held in holders.items():
        keyids = [key.keyid for key in held.keys]
        roles[role] = DelegatedRole(role, keyids, held.threshold, terminating=True, paths=[f"{role}/*"])
    used = sorted({keyid for each in roles.values() for keyid in each.keyids})
    targets.delegations = Delegations({keyid: known[keyid] for keyid in used}, roles)
    return targets


def _next_delegated(before: Before, role: str) -> Targets:
    """Return the successor of a channel's or on-call role, saying the same; the first of a new one says nothing."""
    now = before.state.verified.signed_at  # which the caller replaces
    for channel, state in before.states.items():
        said = state.verified.channel
        if role == channel:
            return metadata.channel_role(1, said.listed, said, now)
        if role == layout.oncall_role(channel):
            return metadata.oncall_role(1, said.oncall, now)
    return metadata.channel_role(1, None, None, now)
