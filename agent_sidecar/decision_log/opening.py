"""The decision log of a host as its configuration wants it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from agent_sidecar import logs
from agent_sidecar.decision_log.log import DecisionLog, NoLog
from agent_sidecar.decision_log.scribe import Signer
from agent_sidecar.decision_log.settings import Durability, LogSettings, WhenFull
from agent_sidecar.decision_log.shipper import Shipper
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.durable import StateError
from bundle_store.opening import open_records

SPOOL = "spool"
"""Where segments are, in the state directory."""


def open_log(
    state: Path,
    settings: LogSettings,
    signer: Callable[[], Signer],
    *,
    host_id: str,
    host: Mapping[str, str],
    clock: Callable[[], float],
    is_alone: bool = False,
) -> DecisionLog | NoLog:
    """Return the log of the process that owns a state directory; `host` are the labels policies see.

    `is_alone` if no other process will join it.

    A disk that refuses is reported, and tried again by each decision; all of them are denied until then. Raises
    StateError if the key or the spool's own files cannot be used at all.
    """
    if settings.durability is Durability.OFF:
        logs.warning("decision_log_off", hint="no decision is recorded: nobody can tell later what was allowed")
        return NoLog()
    spool = _spool(state, settings, signer(), host_id=host_id, clock=clock, is_alone=is_alone)
    try:
        spool.open()
    except StateError as error:
        logs.warning("decision_log_unwritable", reason=error.message, hint=error.hint)
    store = open_records(settings.ship) if settings.ship else None
    shipper = Shipper(spool, store, every_s=settings.ship_every_s)
    return DecisionLog(spool, settings, clock=clock, host=host, shipper=shipper)


def join_log(
    state: Path,
    settings: LogSettings,
    signer: Callable[[], Signer],
    *,
    host_id: str,
    host: Mapping[str, str],
    clock: Callable[[], float],
) -> DecisionLog | NoLog:
    """Return the same log in another process of the host: after it was opened, and after forking. Raises StateError."""
    if settings.durability is Durability.OFF:
        return NoLog()
    syncs = settings.durability is Durability.HOST
    spool = _spool(state, settings, signer(), host_id=host_id, clock=clock, syncs=syncs)
    return DecisionLog(spool, settings, clock=clock, host=host, shipper=None)


def _spool(
    state: Path,
    settings: LogSettings,
    signer: Signer,
    *,
    host_id: str,
    clock: Callable[[], float],
    is_alone: bool = False,
    syncs: bool = True,
) -> Spool:
    return Spool(
        state / SPOOL,
        host=host_id,
        signer=signer,
        clock=clock,
        max_bytes=settings.max_bytes,
        drops_oldest=settings.when_full is WhenFull.DROP_OLDEST,
        is_alone=is_alone,
        syncs=syncs,
    )
