"""Keep what is live from expiring: sign the timestamp anew, and where it is time, the channel and snapshot roles, too.

No release comes of it: hosts see newer metadata that lists the same bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from builder.publishing import metadata
from builder.publishing.maintain import maintain
from builder.publishing.publisher import Publisher
from builder.publishing.staging import verify_staged
from builder.publishing.writing import RaceLostError, swap_timestamp

_NOT_HERE = frozenset({"root", "targets", "timestamp"})
"""Roles whose keys no refresher has, and the one that is signed in any case."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """`expires` of the timestamp now live, the roles that were renewed, and what could not be."""

    expires: datetime
    renewed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def refresh(publishers: Sequence[Publisher], *, lifetime: timedelta | None = None) -> Refreshed:
    """Sign the timestamp again; renew channels (one publisher for each) and snapshot role if due (see `expiry`).

    Without their keys only the timestamp is signed, and warnings returned: a refresher needs no more keys. From now on
    timestamps are good for `lifetime`, if it is given. Raises TrustError if hosts would refuse the state even so,
    RemoteError, UsageError without the timestamp's key.
    """
    maintained = maintain({each.channel: each for each in publishers}, apart_from=_NOT_HERE)
    if lifetime is not None or not maintained.renewed:
        _sign_timestamp(publishers[0], lifetime)
    expires = publishers[0].reader.read().timestamp.expires
    return Refreshed(expires, maintained.renewed, maintained.warnings)


def _sign_timestamp(publisher: Publisher, lifetime: timedelta | None) -> None:
    """Replace the timestamp over the live snapshot role.

    If somebody else has just done so, all is well, too, unless it was to be good for another time than before.
    """
    state = publisher.reader.read()
    successor = metadata.timestamp(
        state.timestamp.version + 1,
        state.timestamp.snapshot_meta,
        publisher.signing_time(state),
        lifetime or state.timestamp_lifetime,
    )
    data = publisher.sign("timestamp", successor, state)
    verify_staged(
        publisher.store,
        data,
        trusted_root=publisher.trusted_root,
        channel=publisher.channel,
        release=state.verified.release,
        live=state,
    )
    try:
        swap_timestamp(publisher.store, data, etag=state.etag)
    except RaceLostError:
        if lifetime is not None:
            raise
