"""What metadata seen before still says after keys were replaced: what lets hosts recover from stolen keys, and no more.

A thief can sign versions so high that nothing honest ever comes after them. TUF's answer (5.3.11) is a new root with
other keys for the timestamp and the snapshot role: what the old keys signed is forgotten, its versions with it. What
still carries enough valid signatures goes on binding, so that a new root by itself resets nothing.
"""

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from policy_core.trust import layout
from policy_core.trust.chain import MetadataChain, Role, decode, verify_roots
from policy_core.trust.errors import MetadataError


def binding_roles(before: MetadataChain, after: MetadataChain, *, trusted_root: bytes) -> frozenset[str]:
    """Return which of the roles "timestamp" and "snapshot" in `before` the newest root of `after` still accepts.

    The timestamp bounds its own version and that of the snapshot role, the snapshot role those of all others. Both
    chains were verified at their time. Raises MetadataError.
    """
    root = verify_roots(after.roots, trusted_root=trusted_root)[-1]
    found = {
        Timestamp.type: accepts(root, Timestamp.type, before.timestamp, Timestamp),
        Snapshot.type: accepts(root, Snapshot.type, before.snapshot, Snapshot),
    }
    return frozenset(role for role, accepted in found.items() if accepted)


def is_still_signed(before: MetadataChain, after: MetadataChain, *, channel: str) -> bool:
    """Tell whether the keys that `after` gives the channel are enough for the channel role in `before`."""
    targets = decode(after.targets, Targets, limit=layout.MAX_TARGETS_BYTES).signed
    return accepts(targets, channel, before.channel, Targets)


def accepts(delegator: Root | Targets, role: str, data: bytes, kind: type[Role]) -> bool:
    """Tell whether a file of a role has enough signatures by the keys that a verified delegator gives that role."""
    try:
        metadata = decode(data, kind, limit=layout.MAX_TARGETS_BYTES)
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (MetadataError, RepositoryError, ValueError):
        return False
    return True
