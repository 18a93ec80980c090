"""Sign the timestamp anew, so that hosts know the live state is still the newest: no release, no new snapshot role."""

from dataclasses import dataclass
from datetime import datetime

from builder.publishing import metadata
from builder.publishing.commit import Publisher
from builder.publishing.staging import verify_staged
from builder.publishing.writing import RaceLostError, swap_timestamp


@dataclass(frozen=True, slots=True)
class Refreshed:
    """`expires` of the new timestamp; None if somebody else had just signed one."""

    expires: datetime | None


def refresh(publisher: Publisher) -> Refreshed:
    """Sign the timestamp again over the live snapshot role, and return when the new one expires.

    Raises TrustError if hosts would refuse the state even so (another role has expired), RemoteError, UsageError.
    """
    state = publisher.reader.read()
    successor = metadata.timestamp(
        state.timestamp.version + 1, state.timestamp.snapshot_meta, publisher.signing_time(state)
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
        return Refreshed(expires=None)
    return Refreshed(expires=successor.expires)
