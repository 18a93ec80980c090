"""Why signed metadata is refused; told apart because people act differently on them."""

from policy_core.errors import TrustError


class MetadataError(TrustError):
    """A signature, digest, length or version of metadata or of a bundle does not hold, or it cannot be read."""

    default_hint = "nothing was accepted; if the store is intact, look for a key change or somebody who writes to it"


class RollbackError(MetadataError):
    """Metadata has a lower version than one seen before: the store, or a part of it, went back in time."""

    default_hint = "a store must never be restored to an older state; publish again, which gives higher versions"


class ExpiredError(TrustError):
    """Metadata is past its expiry: nobody vouches any more that this is the newest state."""

    default_hint = (
        "a publisher runs `writ refresh` (root and targets need their own keys); check the clock of this host"
    )
