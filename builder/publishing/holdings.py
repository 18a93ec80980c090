"""Who may sign for each role, until when, and which of the keys are here: ``writ keys show``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from securesystemslib.signer import Key

from builder.publishing.channels import delegated_channels, read_channels
from builder.publishing.expiry import alarm, is_due
from builder.publishing.holders import owner_of
from builder.publishing.keys import KeyRing
from builder.publishing.private_keys import KeyMissingError, KeyUnusableError
from builder.publishing.publisher import system_clock
from builder.publishing.state import LiveState
from builder.publishing.workspace import Workspace
from policy_core.trust import layout

NOT_AMONG_KEYS = "is none of the role's keys"
A_SERVICE = "a service, not asked"
ENCRYPTED = "encrypted, not opened"
_ORDER = ("root", "targets", "snapshot", "timestamp")


class _EncryptedError(KeyUnusableError):
    """A key file that only its passphrase opens."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key of a role: its id and scheme, whose it is (empty: a machine's), and whether it is known to be here."""

    id: str
    scheme: str
    owner: str
    here: bool


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """A role as the store has it. `due` and `warning` are for people and empty while there is time.

    `source` is where its key comes from here (empty: from nowhere), and `note` why it could not be compared, if so.
    """

    role: str
    version: int
    expires: datetime
    threshold: int
    keys: tuple[PublicKey, ...]
    source: str
    note: str
    due: bool
    warning: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """All roles of a store, and the channels of ``writ.yaml`` that it does not have yet."""

    store: str
    roles: tuple[RoleKeys, ...]
    missing_channels: tuple[str, ...]


def find_holdings(workspace: Workspace) -> Holdings:
    """Return what the verified metadata of the store says about keys. Nothing is signed, and no passphrase asked for.

    Raises TrustError, RemoteError, UsageError; expiry is reported.
    """
    wanted = workspace.project.channels
    first = next(iter(read_channels(workspace.reader, wanted).values()))
    there = delegated_channels(first)
    states = read_channels(workspace.reader, there)
    now = system_clock()
    roles = [_role_keys(role, first, workspace.key_ring, now) for role in _ORDER]
    for channel, state in states.items():
        held = [role for role in (channel, layout.oncall_role(channel)) if role in state.verified.versions]
        retired = channel not in wanted
        roles += [_role_keys(role, state, workspace.key_ring, now, retired=retired) for role in held]
    missing = tuple(channel for channel in wanted if channel not in there)
    return Holdings(workspace.reader(there[0]).store.url, tuple(roles), missing)


def _role_keys(role: str, state: LiveState, key_ring: KeyRing, now: datetime, *, retired: bool = False) -> RoleKeys:
    expires = state.verified.expires[role]
    held, note = held_key(role, state.keys(role), key_ring)
    return RoleKeys(
        role=role,
        version=state.verified.versions[role],
        expires=expires,
        threshold=state.threshold(role),
        keys=tuple(PublicKey(key.keyid, key.scheme, owner_of(key), key.keyid == held) for key in state.keys(role)),
        source=key_ring.source(role) if key_ring.has(role) else "",
        note=note,
        due=is_due(role, state.verified, now) and not retired,
        warning=alarm(role, state.verified, now, retired=retired),
    )


def held_key(role: str, keys: Sequence[Key], key_ring: KeyRing) -> tuple[str, str]:
    """Return the id of the key that is here for a role, if it is one of `keys`, and why not or unknown otherwise."""
    if not key_ring.has(role):
        return "", ""
    try:
        if key_ring.is_service(role):
            return "", A_SERVICE
        keyid = replace(key_ring, ask=_nobody).public_key(role).keyid
    except _EncryptedError:
        return "", ENCRYPTED
    except (KeyMissingError, KeyUnusableError) as error:
        return "", error.message
    return (keyid, "") if keyid in {key.keyid for key in keys} else ("", NOT_AMONG_KEYS)


def _nobody(what: str) -> str:
    raise _EncryptedError(f"{what}: is encrypted")
