"""Configuration of a running sidecar: built once at start from a TOML file, then flags; all mistakes reported together.

Its reference page is docs/reference/sidecar-cli.md. Paths in a file are relative to that file, in flags to the working
directory. Files that hold trust (the root, the token) are read here, so that a mistake shows at start.
"""

import difflib
import ipaddress
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from agent_sidecar.ext_authz import TrustedHeaders, trusted_headers
from policy_core.errors import InvalidError, UsageError
from policy_core.grants import ANY_AUDIENCE
from policy_core.model import MAX_PIN_S
from policy_core.trust.layout import check_channel

MAX_ROOT_BYTES = 1 << 20
MIN_TOKEN_BYTES, MAX_TOKEN_BYTES = 16, 4096
MIN_POLL_S, MAX_POLL_S = 0.1, 3600.0
MAX_AGING_S = 365 * 86_400.0
MAX_HOST_LABELS = 64
MAX_HOST_ID_CHARS = 253
TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""What a fleet_store URL may name; anything else in it could switch a check or a time limit off."""
SOCKET = "decision.sock"
"""Name of the decision socket in the state directory, where no path is given."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HTTPS_HOST = re.compile(r"https://(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
Value = TypeVar("Value")


class ConfigurationError(UsageError):
    """The configuration has mistakes; the message lists all of them."""

    default_hint = "see writ-sidecar run --help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What ``writ-sidecar run`` needs to know.

    `trusted_root` holds the bytes of the first TUF root; `listen` is a loopback address and port, with `token`.
    `aging_after_s` is the age of the timestamp that is worth an alarm (None: three quarters of its life).
    `stale_limit_s` is how long after the first expiry of its metadata a policy still answers (None: for ever).
    `host_id` is the audience of grants for this host; `fleet_store` is the URL of a Redis database, with its password.
    `authzen_url` is where AuthZEN's clients reach this sidecar, as its metadata says (empty: there are none).
    `opa_default` is the document that OPA's ``POST /`` answers with; `envoy` names the headers that checks of Envoy are
    read from (None: there are none).
    """

    store: str
    channel: str
    trusted_root: bytes = field(repr=False)
    state: Path
    socket: Path
    socket_mode: int = 0o660
    listen: tuple[str, int] | None = None
    token: bytes = field(default=b"", repr=False)
    poll_s: float = 30.0
    min_release: int = 0
    aging_after_s: float | None = None
    stale_limit_s: float | None = None
    max_pin_s: float = 4 * 3600.0
    host_id: str = ""
    fleet_store: str = field(default="", repr=False)
    authzen_url: str = ""
    opa_default: str = "writ/allow"
    envoy: TrustedHeaders | None = None
    host: Mapping[str, str] = field(default_factory=dict)


KEYS = (
    "store", "channel", "root", "state", "socket", "socket_mode", "listen", "token_file", "poll", "min_release",
    "aging_after", "on_stale", "max_stale", "max_pin", "host_id", "fleet_store", "authzen_url", "opa_default",
    "envoy", "host",
)  # fmt: skip


def read_configuration(file: Path | None, flags: Mapping[str, Any]) -> Configuration:
    """Return the configuration of a TOML file overridden by flags (same keys; None where not given).

    Raises ConfigurationError listing every mistake.
    """
    settings, problems = _read_toml(file) if file else ({}, [])
    given = {key: value for key, value in flags.items() if value is not None}
    host = {**settings.get("host", {}), **given.pop("host", {})} if isinstance(settings.get("host", {}), dict) else {}
    settings |= given
    if host:
        settings["host"] = host
    problems += _unknown(settings)

    def take(key: str, parse: Callable[[Any], Value], default: Value) -> Value:
        if key not in settings:
            return default
        try:
            return parse(settings[key])
        except (ValueError, InvalidError) as error:
            problems.append(f"{key}: {error}")
            return default

    problems += [f"{key} is missing" for key in ("store", "channel", "root", "state") if key not in settings]
    state = take("state", _path, Path())
    limit_s = take("max_stale", duration_s, None)
    on_stale = take("on_stale", _one_of("keep", "deny"), "keep")
    if on_stale == "keep" and limit_s is not None:
        problems.append('max_stale: bounds nothing while on_stale is "keep" (expected on_stale = "deny")')
    listen = take("listen", _loopback, None)
    if listen and "token_file" not in settings:
        problems.append("listen: needs token_file (TCP is open to every user of this machine)")
    if "token_file" in settings and "listen" not in settings:
        problems.append("token_file: guards nothing without listen")
    fleet_store = take("fleet_store", fleet_url, "")
    if file and urlsplit(fleet_store).password and file.stat().st_mode & 0o007:
        problems.append(f"fleet_store: holds a password, and {file} is open to every user of this machine")
    configuration = Configuration(
        store=take("store", _text, ""),
        channel=take("channel", _channel, ""),
        trusted_root=take("root", _root, b""),
        state=state,
        socket=take("socket", _path, state / SOCKET),
        socket_mode=take("socket_mode", _mode, 0o660),
        listen=listen,
        token=take("token_file", _token, b""),
        poll_s=take("poll", _between(MIN_POLL_S, MAX_POLL_S), 30.0),
        min_release=take("min_release", _count, 0),
        aging_after_s=take("aging_after", _between(1.0, MAX_AGING_S), None),
        stale_limit_s=(limit_s or 0.0) if on_stale == "deny" else None,
        max_pin_s=take("max_pin", _between(1.0, MAX_PIN_S), 4 * 3600.0),
        host_id=take("host_id", host_id, "") or socket.gethostname(),
        fleet_store=fleet_store,
        authzen_url=take("authzen_url", authzen_url, ""),
        opa_default=take("opa_default", _one_of("writ/allow", "writ/answer"), "writ/allow"),
        envoy=take("envoy", trusted_headers, None),
        host=take("host", host_labels, {}),
    )
    if problems:
        raise ConfigurationError(f"{file or 'run'}: {'; '.join(problems)}")
    return configuration


def state_directory(file: Path) -> Path:
    """Return just the state directory a configuration file names. Raises ConfigurationError."""
    return _named_path(file, "state")


def trusted_root(file: Path) -> bytes:
    """Return just the trust root a configuration file names. Raises ConfigurationError."""
    try:
        return _root(_named_path(file, "root"))
    except ValueError as error:
        raise ConfigurationError(f"{file}: root: {error}") from error


def _named_path(file: Path, key: str) -> Path:
    settings, problems = _read_toml(file)
    path = settings.get(key)
    if not isinstance(path, Path):
        problems.append(f"{key} is missing")
    if problems or not isinstance(path, Path):
        raise ConfigurationError(f"{file}: {'; '.join(problems)}")
    return path


def duration_s(value: object) -> float:
    """Return seconds of ``500ms``, ``30s``, ``1.5h`` and the like. Raises ValueError."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"not a duration (expected for example 30s, 5m or 24h, found {value!r})")
    return float(found[1]) * _UNITS[found[2]]


def host_labels(value: object) -> dict[str, str]:
    """Return labels of the host, seen by conditions as ``host.<name>``. Raises ValueError."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError('every label is a text (expected for example env = "prod")')
    if len(value) > MAX_HOST_LABELS:
        raise ValueError(f"too many labels (expected at most {MAX_HOST_LABELS}, found {len(value)})")
    return value


def host_id(value: object) -> str:
    """Return the name grants for this host are given to. Raises ValueError."""
    name = _text(value)
    if len(name) > MAX_HOST_ID_CHARS or not name.isprintable() or name.split() != [name]:
        raise ValueError(f"is not a name (expected 1 to {MAX_HOST_ID_CHARS} printable characters without blanks)")
    if name == ANY_AUDIENCE:
        raise ValueError(f'"{ANY_AUDIENCE}" is every host')
    return name


def fleet_url(value: object) -> str:
    """Return the URL of a Redis database; what is wrong with one is said without repeating it. Raises ValueError."""
    url = _text(value)
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("redis", "rediss") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # of urlsplit, whose message would show the password
        sound = False
        parts = urlsplit("")
    if not sound or not re.fullmatch(r"/?\d{0,4}", parts.path) or parts.fragment:
        raise ValueError("is not a Redis URL (expected for example redis://127.0.0.1:6379/0, or rediss:// for TLS)")
    unknown = sorted(parse_qs(parts.query, keep_blank_values=True).keys() - TLS_FILES)
    if unknown or (parts.query and parts.scheme == "redis"):
        raise ValueError(f"takes {', '.join(sorted(TLS_FILES))} with rediss:// and nothing else (found {unknown})")
    return url


def authzen_url(value: object) -> str:
    """Return the URL others reach AuthZEN's paths under, without a slash at its end. Raises ValueError."""
    url = _text(value).removesuffix("/")
    if not _HTTPS_HOST.fullmatch(url):
        raise ValueError(f"is not https and a host (expected for example https://pdp.example.com, found {value})")
    return url


def _read_toml(file: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError
        raise ConfigurationError(f"{file}: is not TOML: {error}") from error
    problems = []
    for key in ("root", "state", "socket", "token_file"):
        if key in settings:
            if isinstance(settings[key], str):
                settings[key] = file.absolute().parent / settings[key]
            else:
                problems.append(f"{key}: is not a path")
                del settings[key]
    return settings, problems


def _unknown(settings: Mapping[str, Any]) -> list[str]:
    problems = []
    for key in settings.keys() - set(KEYS):
        near = difflib.get_close_matches(key, KEYS, n=1)
        problems.append(f"{key} is not a setting" + (f" (did you mean {near[0]}?)" if near else ""))
    return sorted(problems)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text")
    return value


def _channel(value: object) -> str:
    check_channel(_text(value))
    return _text(value)


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("is not a path")
    return Path(value).absolute()


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"unknown word (expected {' or '.join(words)}, found {value!r})")
        return str(value)

    return parse


def _between(least: float, most: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        seconds = duration_s(value)
        if not least <= seconds <= most:
            raise ValueError(f"out of range (expected {least:g}s to {most:g}s, found {value})")
        return seconds

    return parse


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"is not a count (found {value!r})")
    return value


def _mode(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError(f'is not a file mode (expected for example "0660", found {value!r})')
    return int(value, 8)


def _loopback(value: object) -> tuple[str, int] | None:
    address, colon, port = _text(value).rpartition(":")
    try:
        loopback = ipaddress.ip_address(address.strip("[]")).is_loopback
        number = int(port)
    except ValueError:
        loopback, number = False, -1
    if not colon or not loopback or not 0 <= number < 65536:
        raise ValueError(f"is not a loopback address (expected for example 127.0.0.1:8181, found {value})")
    return address.strip("[]"), number


def _root(value: object) -> bytes:
    return _read(_path(value), MAX_ROOT_BYTES)


def _token(value: object) -> bytes:
    path = _path(value)
    token = _read(path, MAX_TOKEN_BYTES).strip()
    if path.stat().st_mode & 0o007:
        raise ValueError(f"{path} is open to every user of this machine (expected mode 0600)")
    if len(token) < MIN_TOKEN_BYTES or not token.isascii() or len(token.split()) != 1:
        raise ValueError(f"{path} holds no token (expected one line of at least {MIN_TOKEN_BYTES} ASCII characters)")
    return token


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not content or len(content) > max_bytes:
        raise ValueError(f"{path} has a wrong size (expected 1 to {max_bytes} bytes)")
    return content
