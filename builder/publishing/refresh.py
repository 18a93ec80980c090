"""Keep what is live from expiring: sign the timestamp anew, and where it is time, the channel and snapshot roles, too.

No release comes of it: hosts see newer metadata that lists the same bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from builder.publishing import metadata
from builder.publishing.commit import Proposal, commit
from builder.publishing.expiry import is_due
from builder.publishing.private_keys import KeyMissingError
from builder.publishing.publisher import Publisher
from builder.publishing.staging import verify_staged
from builder.publishing.state import LiveState
from builder.publishing.writing import RaceLostError, swap_timestamp


@dataclass(frozen=True, slots=True)
class Refreshed:
    """`expires` of the timestamp now live, the channels whose roles were renewed, and what could not be."""

    expires: datetime
    renewed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def refresh(publishers: Sequence[Publisher]) -> Refreshed:
    """Sign the timestamp again; renew each channel (one publisher for each) that is due (see `expiry`).

    Without the key of a channel only the timestamp is signed, and a warning returned: a refresher needs no more keys.
    Raises TrustError if hosts would refuse the state even so, RemoteError, UsageError without the timestamp's key.
    """
    renewed, warnings = [], []
    for publisher in publishers:
        state = publisher.reader.read()
        if _is_due(publisher, state):
            try:
                commit(publisher, lambda live, _: Proposal(live.verified.channel.listed))
                renewed.append(publisher.channel)
            except KeyMissingError as error:
                expires = min(state.verified.expires[role] for role in ("snapshot", publisher.channel))
                warnings.append(f"{publisher.channel} expires on {expires:%Y-%m-%d}, but {error.message}")
    if not renewed:
        _sign_timestamp(publishers[0])
    return Refreshed(publishers[0].reader.read().timestamp.expires, tuple(renewed), tuple(warnings))


def _is_due(publisher: Publisher, state: LiveState) -> bool:
    now = publisher.clock()
    return any(is_due(role, state.verified.expires[role], now) for role in ("snapshot", publisher.channel))


def _sign_timestamp(publisher: Publisher) -> None:
    """Replace the timestamp over the live snapshot role; if somebody else has just done so, all is well, too."""
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
        return
