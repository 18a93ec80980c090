"""What Envoy's `ext_authz` filter sends in HTTP mode, as a request: pure functions (docs/reference/envoy.md).

Who acts is in headers, and anybody can send headers: only those that the configuration names are believed, each at
most once. A path that two readers could read in different ways is refused, as one of them might be the policy.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from policy_core.request import RequestError

PREFIX = b"/envoy"
MAX_SUBJECT_CHARS = 1024
_KEYS = ("subject_header", "subject_type", "roles_header", "tenant_header", "constraints_header")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TAKEN = frozenset({
    "authorization", "connection", "content-length", "content-type", "expect", "host", "retry-after",
    "transfer-encoding", "x-request-id", "x-writ-decision", "x-writ-decision-id",
})  # fmt: skip
_HOST = re.compile(rb"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PLAIN_PATH = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_READ_DIFFERENTLY = re.compile(rb"//|/\.\.?(?:/|;|$)|%(?:[01].|2[ef]|5c|7f)", re.IGNORECASE)
"""Empty and dot segments, and encoded control characters, dots, slashes and backslashes."""
_NEEDLESS = re.compile(rb"%(?:2d|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])", re.IGNORECASE)
"""Letters, digits, ``-``, ``_`` and ``~``, which nobody has to encode."""


@dataclass(frozen=True, slots=True)
class TrustedHeaders:
    """Names of headers (lower case; empty: none) that say who asks, and of the one that hands constraints on."""

    subject: str
    subject_type: str = "user"
    roles: str = ""
    tenant: str = ""
    constraints: str = ""

    @property
    def names(self) -> frozenset[bytes]:
        """Return all headers a request is read from."""
        return frozenset({b"host"} | {name.encode() for name in (self.subject, self.roles, self.tenant) if name})


def trusted_headers(value: object) -> TrustedHeaders:
    """Return what a configuration's table ``[envoy]`` names. Raises ValueError."""
    if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
        raise ValueError('is a table of texts (expected for example subject_header = "x-forwarded-user")')
    for key in value:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise ValueError(f"{key} is not a setting" + (f" (did you mean {near[0]}?)" if near else ""))
    if "subject_header" not in value:
        raise ValueError("subject_header is missing")
    headers = [text for key, text in value.items() if key.endswith("_header")]
    for name in headers:
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise ValueError(f"{name!r} cannot be used as a header (expected lower case, and none with a meaning here)")
    if len(set(headers)) < len(headers):
        raise ValueError("one header has two meanings")
    return TrustedHeaders(
        subject=value["subject_header"],
        subject_type=value.get("subject_type", "user"),
        roles=value.get("roles_header", ""),
        tenant=value.get("tenant_header", ""),
        constraints=value.get("constraints_header", ""),
    )


def request_of(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], trusted: TrustedHeaders
) -> dict[str, Any]:
    """Map a check onto the AuthZEN form (the table in docs/reference/envoy.md); `headers` are lower-case and trusted.

    Raises RequestError for a path that could be read in another way, and for a header that is there twice.
    """
    path, _, query = target.removeprefix(PREFIX).partition(b"?")
    _check_path(path)
    host = _header(headers, "host").encode()
    name = host.rpartition(b":")[0] if re.search(rb":\d{1,5}$", host) else host
    if not _HOST.fullmatch(name := name.removesuffix(b".")):
        raise RequestError("check: host is missing, or no name")
    subject = _header(headers, trusted.subject)
    roles = [role.strip() for role in _header(headers, trusted.roles).split(",") if role.strip()]
    tenant = _header(headers, trusted.tenant)
    resource = {"host": name.decode().lower()} | ({"query": query.decode("latin-1")} if query else {})
    return {
        "subject": {
            "type": trusted.subject_type if subject else "anonymous",
            "id": subject or "anonymous",
            "properties": {"roles": roles} if subject and roles else {},
        },
        "action": {"name": f"http.{method.decode('ascii').lower()}"},
        "resource": {"type": "http", "id": path.decode("ascii"), "properties": resource},
        "context": {"tenant": tenant} if tenant else {},
    }


def _check_path(path: bytes) -> None:
    if not _PLAIN_PATH.fullmatch(path):
        raise RequestError("check: the path has characters that must be encoded, or does not begin with a slash")
    if _READ_DIFFERENTLY.search(path) or _NEEDLESS.search(path):
        raise RequestError("check: the path is not in normal form, so others might read it differently")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise RequestError("check: the path is not UTF-8") from error


def _header(headers: Sequence[tuple[bytes, bytes]], name: str) -> str:
    """Return the value of a header, empty if it is absent. Raises RequestError if it is ambiguous or no text."""
    if not name:
        return ""
    found = [value for key, value in headers if key == name.encode()]
    if len(found) > 1:
        raise RequestError(f"check: {name} is there twice")
    try:
        text = found[0].decode() if found else ""
    except UnicodeDecodeError as error:
        raise RequestError(f"check: {name} is not UTF-8") from error
    if len(text) > MAX_SUBJECT_CHARS or not text.isprintable():
        raise RequestError(f"check: {name} is no text of at most {MAX_SUBJECT_CHARS} characters")
    return text.strip()
