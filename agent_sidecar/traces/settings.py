"""The table ``[traces]`` of the configuration: where spans go."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_sidecar.setting_parsers import table, text


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where a collector takes OTLP over HTTP; empty: nowhere."""

    endpoint: str = ""


def trace_settings(value: object) -> TraceSettings:
    """Return what a configuration's table ``[traces]`` says. Raises ValueError."""
    return TraceSettings(**table({"endpoint": _endpoint}, required=["endpoint"])(value))


def _endpoint(value: object) -> str:
    url = text(value)
    if not _is_endpoint(url):
        raise ValueError("is no endpoint (expected for example http://127.0.0.1:4318/v1/traces)")
    return url


def _is_endpoint(url: str) -> bool:
    """Tell whether it is http or https to a host, with nothing secret in it and nothing that would be dropped."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.split() == [url] and not parts.query and not parts.fragment
    return bool(
        is_plain and parts.scheme in ("http", "https") and parts.hostname and parts.username is None and port != 0
    )
