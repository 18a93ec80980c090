"""Who holds the keys of a role, and how many of them must sign: pure rules, for commands and for ceremony files alike.

A threshold is worth as much as the keys behind it are different people's, so nobody is counted twice: not with two
keys, not with one key under two ids. Top-level roles are held in root metadata, channels and on-call roles in targets.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Role, Root, Targets

from policy_core.errors import UsageError
from policy_core.grants import is_weak_key
from policy_core.trust import layout
from policy_core.trust.release import is_person

SHORT_ID_CHARS = 12
MIN_RSA_BITS = 2048
MAX_KEYS = 64  # of one role

Holding = Mapping[str, "Holders"]
"""Who holds which role, by role name."""


class HoldersError(UsageError):
    """Keys or a threshold that a role must not have."""


@dataclass(frozen=True, slots=True)
class Holders:
    """The public keys of a role, and how many of them must sign."""

    keys: tuple[Key, ...]
    threshold: int

    def changed(self, *, added: Sequence[Key] = (), removed: Sequence[Key] = (), threshold: int = 0) -> "Holders":
        """Return them with other keys, and with another threshold unless that is 0."""
        gone = {key.keyid for key in removed}
        kept = tuple(key for key in self.keys if key.keyid not in gone)
        return Holders((*kept, *added), threshold or self.threshold)


NOBODY = Holders((), 1)


def holders_of(delegator: Root | Targets, role: str) -> Holders:
    """Return who holds a role, `NOBODY` if there is no such role."""
    found = roles_held(delegator).get(role)
    return Holders(tuple(delegator.get_key(keyid) for keyid in found.keyids), found.threshold) if found else NOBODY


def holding(root: Root, targets: Targets) -> dict[str, Holders]:
    """Return who holds which role, for all roles there are."""
    return {role: holders_of(delegator, role) for delegator in (root, targets) for role in roles_held(delegator)}


def owner_of(key: Key) -> str:
    """Return whose key it is, empty for the key of a machine."""
    return str(key.unrecognized_fields.get(layout.OWNER, ""))


def short_id(key: Key) -> str:
    """Return the part of a key's id that is shown."""
    return key.keyid[:SHORT_ID_CHARS]


def name_of(key: Key) -> str:
    """Return what people call a key: its owner and the short form of its id."""
    return f"{owner} ({short_id(key)})" if (owner := owner_of(key)) else short_id(key)


def find_key(role: str, holders: Holders, name: str) -> Key:
    """Return the key that `name` means: an owner, or the beginning of an id. Raises HoldersError."""
    found = [key for key in holders.keys if name and owner_of(key) == name]  # machines have no name
    if not found and len(name) >= SHORT_ID_CHARS // 2:
        found = [key for key in holders.keys if key.keyid.startswith(name)]
    if len(found) != 1:
        known = ", ".join(map(name_of, holders.keys)) or "none"
        raise HoldersError(
            f"role {role}: {name!a} is {'several of its keys' if found else 'none of its keys'}",
            hint=f"its keys: {known}",
        )
    return found[0]


def check_holding(before: Holding, after: Holding) -> None:
    """Raise HoldersError unless every role that has other holders `after` than `before` may have them.

    All roles there are belong into both, so that what must hold across roles is checked, too.
    """
    known = {key.keyid: key for holders in before.values() for key in holders.keys}
    for role in (role for role in after if after[role] != before.get(role)):
        _check_threshold(role, after[role])
        for key in after[role].keys:
            if key.keyid not in known:
                _check_new_key(role, key)
            elif key != known[key.keyid]:
                raise HoldersError(
                    f"role {role}: key {short_id(key)} is known already, as {name_of(known[key.keyid])}",
                    hint="a key has one owner, the same in all roles",
                )
        _check_distinct(role, after[role].keys)
    for role, holders in after.items():
        oncall = after.get(layout.oncall_role(role), NOBODY)
        shared = {public_value(key) for key in holders.keys} & {public_value(key) for key in oncall.keys}
        if shared and _differs(before, after, role):
            raise HoldersError(
                f"role {layout.oncall_role(role)}: shares a key with {role}",
                hint="signed metadata does not say which of the two it is for: make another key for on call",
            )


def public_value(key: Key) -> bytes:
    """Return what makes a public key that key, however it is spelled and whatever its id; raises HoldersError."""
    try:
        if key.keytype == "ed25519":
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"])).public_bytes_raw()
        public = load_pem_public_key(key.keyval["public"].encode())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HoldersError(f"key {short_id(key)}: is no public key") from error
    if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:
        raise HoldersError(f"key {short_id(key)}: has {public.key_size} bits (at least {MIN_RSA_BITS})")
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _differs(before: Holding, after: Holding, role: str) -> bool:
    return any(before.get(name) != after.get(name) for name in (role, layout.oncall_role(role)))


def _check_threshold(role: str, holders: Holders) -> None:
    threshold, keys = holders.threshold, len(holders.keys)
    if type(threshold) is not int or not 1 <= threshold <= keys:  # True is 1, but not the same when signed
        raise HoldersError(
            f"role {role}: threshold {threshold} with {keys} key{'' if keys == 1 else 's'}",
            hint="add a key first, or give a lower --threshold in the same command",
        )
    if keys > MAX_KEYS:
        raise HoldersError(f"role {role}: {keys} keys (limit {MAX_KEYS})")
    if threshold > 1 and (role in {"snapshot", "timestamp"} or layout.is_oncall(role)):
        raise HoldersError(
            f"role {role}: threshold {threshold} (expected 1)",
            hint="snapshot and timestamp are signed by one machine at a time, on call by one person",
        )


def _check_new_key(role: str, key: Key) -> None:
    """Refuse a key that no command makes: of a foreign form, or under an id chosen to look like another's."""
    value = public_value(key)
    if key.keytype == "ed25519" and is_weak_key(value):
        raise HoldersError(f"role {role}: key {short_id(key)} is weak: anybody could sign for it")
    about = encode_canonical({"keytype": key.keytype, "scheme": key.scheme, "keyval": key.keyval}) or ""
    if key.keyid != hashlib.sha256(about.encode()).hexdigest() or key.keyval.keys() != {"public"}:
        raise HoldersError(f"role {role}: key {short_id(key)} does not have the id that belongs to it")
    owner = key.unrecognized_fields.get(layout.OWNER)
    if key.unrecognized_fields.keys() - {layout.OWNER} or not (owner is None or is_person(owner)):
        raise HoldersError(
            f"role {role}: key {short_id(key)} has no owner of the known form",
            hint="an owner is one word of letters, digits and . _ @ -",
        )


def _check_distinct(role: str, keys: Sequence[Key]) -> None:
    seen: dict[bytes, Key] = {}
    owners: dict[str, Key] = {}
    for key in keys:
        value, owner = public_value(key), owner_of(key).casefold()  # Ana is ana
        if value in seen:
            raise HoldersError(f"role {role}: has that key already, {name_of(seen[value])}")
        if owner in owners:
            raise HoldersError(
                f"role {role}: has a key of {owner_of(owners[owner])} already, {short_id(owners[owner])}",
                hint="one person, one key: revoke the old one first",
            )
        seen[value] = key
        if owner:
            owners[owner] = key


def roles_held(delegator: Root | Targets) -> Mapping[str, Role] | Mapping[str, DelegatedRole]:
    if isinstance(delegator, Root):
        return delegator.roles
    return (delegator.delegations.roles if delegator.delegations else None) or {}
