"""Attribute tests, ``attributes: {resource.properties.size: {le: 5}}``: what may be written, and what it means.

An attribute is a *fact*: absent (``null`` is absent), or of a type that the operator cannot compare, is an error; only
``exists`` is always true or false. `holds` says plainly what each operator means; the matcher runs compiled closures.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from policy_core.errors import InvalidError
from policy_core.glob import match_glob
from policy_core.model import AttributeTests, Scalar

MAX_PATH_CHARS = 256
MAX_REGEX_CHARS = 1_000
_MAX_REGEX_MEMORY_BYTES = 1 << 20

IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_FIELDS = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id"), "context": ()}
ORDERED = frozenset({"lt", "le", "gt", "ge"})


class RegexUnavailableError(InvalidError):
    """A rule uses ``regex``, and the RE2 library is not installed here."""

    default_hint = "install google-re2, which the extras builder and sidecar bring along"


def check_path(path: str) -> tuple[str, str] | None:
    """Return what is wrong with a path as (message, hint), None if requests can have it."""
    root, *fields = path.split(".")
    if root not in _FIELDS:
        return f"attribute path {path[:80]!r} has no known root", "start it with subject, action, resource or context"
    if len(path) > MAX_PATH_CHARS:
        return f"attribute path is too long ({len(path)} characters, limit {MAX_PATH_CHARS})", "shorten it"
    if not fields or not all(fields):
        return f"attribute path {path!r} names no attribute", f"write it as {root}.… without empty parts"
    scalars = _FIELDS[root]
    if root != "context" and not (fields[0] == "properties" if len(fields) > 1 else fields[0] in scalars):
        known = ", ".join(f"{root}.{name}" for name in (*scalars, "properties.…"))
        return f"attribute path {path!r} is never in a request", f"known below {root}: {known}"
    return None


def check_tests(tests: AttributeTests) -> str:
    """Return what is wrong with decoded tests, empty if nothing. Raises RegexUnavailableError."""
    asked = tests.operators()
    if not asked:
        return "no operator"
    if tests.exists is False and len(asked) > 1:
        return "exists: false does not go with other operators"
    try:
        for text in tests.cidr:
            parse_network(text)
        for text in tests.regex:
            compile_regex(text)
    except ValueError as error:
        return str(error)
    return ""


def holds(operator: str, wanted: Any, value: object) -> bool | None:
    """Return what one operator says about a value (None: the attribute is absent); None is an error."""
    if operator == "exists":
        return (value is not None) is wanted
    if value is None:
        return None
    if operator in ("eq", "ne"):
        return _equals([wanted], value, negated=operator == "ne")
    if operator in ("in", "not_in"):
        return _equals(wanted, value, negated=operator == "not_in")
    if operator in ORDERED:
        return _ordered(operator, wanted, value)
    if not isinstance(value, str):
        return None
    if operator == "glob":
        return any(match_glob(pattern, value) for pattern in wanted)
    if operator == "prefix":
        return any(value[: len(prefix)] == prefix for prefix in wanted)
    if operator == "cidr":
        address = parse_address(value)
        return None if address is None else any(address in parse_network(text) for text in wanted)
    try:
        return any(compile_regex(text).fullmatch(value) is not None for text in wanted)
    except UnicodeEncodeError:  # half of a surrogate pair
        return None


def comparable(wanted: Scalar, value: object) -> bool:
    """Tell whether two values compare: strings with strings, booleans with booleans, numbers with numbers."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return isinstance(wanted, bool) and isinstance(value, bool)
    if isinstance(wanted, str):
        return isinstance(value, str)
    return isinstance(value, int | float)


def look_up(path: str, roots: Mapping[str, Any]) -> object:
    """Return the value at a path, None if any part of it is absent or no object."""
    value: object = roots
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def parse_network(text: str) -> IPNetwork:
    """Return a network such as ``10.0.0.0/8``; raise ValueError for anything else, host bits included."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is no network such as 10.0.0.0/8 or fd00::/8 ({_reason(error)})") from error


def parse_address(text: str) -> IPAddress | None:
    """Return an IP address, None if the text is none. IPv4 inside IPv6 (``::ffff:10.0.0.1``) is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def compile_regex(text: str) -> Any:
    """Return the compiled RE2 pattern, linear in the text it is matched against.

    The library is loaded on first use, so a policy without a regex costs nothing. Raises ValueError for a bad pattern,
    RegexUnavailableError without the library.
    """
    if len(text) > MAX_REGEX_CHARS:
        raise ValueError(f"regex is too long ({len(text)} characters, limit {MAX_REGEX_CHARS})")
    try:
        import re2
    except ImportError as error:
        raise RegexUnavailableError("regex: the library google-re2 is not installed") from error
    options = re2.Options()
    options.max_mem = _MAX_REGEX_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if isinstance(error, re2.error) else "is no text"
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"regex {text[:80]!r} is not valid ({shown})") from error


def _equals(wanted: Sequence[Scalar], value: object, *, negated: bool) -> bool | None:
    fitting = [accepted for accepted in wanted if comparable(accepted, value)]
    return ((value in fitting) is not negated) if fitting else None


def _ordered(operator: str, wanted: int | float, value: object) -> bool | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if operator == "lt":
        return value < wanted
    if operator == "le":
        return value <= wanted
    return value > wanted if operator == "gt" else value >= wanted


def _reason(error: ValueError) -> str:
    return str(error).rpartition(" has ")[2] if " has " in str(error) else "not understood"
