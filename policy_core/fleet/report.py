"""What a host says of itself in full: one JSON object, signed with the key it is enrolled under. Pure."""

from collections.abc import Callable

import msgspec

from policy_core.decision_log.enrolment import HostKey
from policy_core.decision_log.lines import is_host
from policy_core.decision_log.names import spelled_host
from policy_core.errors import TrustError
from policy_core.fleet.names import HostState, features_digest

SCHEMA = "writ.host-report/1"
MAX_REPORT_BYTES = 64 << 10
_DOMAIN = b"writ.host-report/1\n"  # the host's key signs other things, too


class ReportError(TrustError):
    """A report is not what a host of the fleet wrote."""

    default_hint = "somebody else may write here, or the host has a new key: compare it with what the host says"


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The object: `name` is the one it is stored under, `status` the sidecar's status document as it then was."""

    schema: str = SCHEMA
    name: str
    host: str
    features: tuple[str, ...]
    status: msgspec.Raw
    keyid: str
    sig: str = ""


def encode_report(
    state: HostState, *, host: str, features: frozenset[str], status: bytes, keyid: str, sign: Callable[[bytes], bytes]
) -> bytes:
    """Return the content of a report; `status` is a JSON object."""
    report = Report(
        name=state.name, host=host, features=tuple(sorted(features)), status=msgspec.Raw(status), keyid=keyid
    )
    signature = sign(_message(report))
    return msgspec.json.encode(msgspec.structs.replace(report, sig=signature.hex())) + b"\n"


def read_report(content: bytes, state: HostState) -> Report:
    """Return the report that lies under the name of a state, and says so; `verify_report` tells whose it is.

    Raises ReportError.
    """
    try:
        report = msgspec.json.decode(content, type=Report)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{state.name}: is no report: {error}") from error
    agrees = (
        report.schema == SCHEMA,
        report.name == state.name,
        is_host(report.host) and spelled_host(report.host) == state.host,
        features_digest(report.features) == state.features,
    )
    if not all(agrees):
        raise ReportError(f"{state.name}: does not say what its name says")
    return report


def verify_report(report: Report, key: HostKey) -> None:
    """Raise ReportError unless a host's key has signed its report."""
    try:
        signature = bytes.fromhex(report.sig)
    except ValueError as error:
        raise ReportError(f"{report.name}: has no signature") from error
    if (report.host, report.keyid) != (key.host, key.keyid) or not key.verifies(signature, _message(report)):
        raise ReportError(f"{report.name}: is not signed by the key of {key.host}")


def _message(report: Report) -> bytes:
    return _DOMAIN + msgspec.json.encode(msgspec.structs.replace(report, sig=""))
