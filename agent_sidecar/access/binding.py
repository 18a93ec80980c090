"""Tables ``[[bind]]``: as which subjects a caller may speak, in which tenants, with which roles, and for whom.

A request says who acts; a bind says whom to believe. Where there is any bind, a caller that none names speaks for
nobody. What is compared is the normalised request, so that no form of it and no protocol is a way around.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from agent_sidecar.server.caller import CallerKind
from agent_sidecar.setting_parsers import MistakesError, mistakes_of, table, text
from policy_core.glob import RESERVED, any_glob, match_glob
from policy_core.request import Request

MAX_BINDS = 256
MAX_PATTERNS = 256
MAX_SHOWN_CHARS = 100
CERTIFICATE_KINDS = ("uri:", "dns:", "cn:")
"""What a certificate's name begins with: from which of its fields it is."""
_KEYS_OF_ENTITIES = frozenset({"type", "id", "properties"})
"""Of an object that stands for somebody, as AuthZEN has it; they name nobody."""

_CALLERS = {"uid": CallerKind.UNIX, "token": CallerKind.TOKEN, "certificate": CallerKind.CERTIFICATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """What one entry lets a caller say; all patterns are globs.

    `name` is a user id in decimal, the name of a token, or a glob over names of certificates. `subjects` are
    ``type/id``. `tenants` and `roles` bind nothing where they are None; `on_behalf_of` is empty for nobody.
    """

    kind: CallerKind
    name: str
    subjects: tuple[str, ...]
    tenants: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    on_behalf_of: tuple[str, ...] = ()

    def is_for(self, kind: CallerKind, name: str) -> bool:
        """Tell whether this entry is about a caller."""
        if kind is not self.kind:
            return False
        return match_glob(self.name, name) if kind is CallerKind.CERTIFICATE else name == self.name


class Bounds:
    """What one caller may say, compiled once for each connection or token."""

    __slots__ = ("_entries",)

    def __init__(self, binds: Iterable[Bind]) -> None:
        self._entries = tuple(map(_Entry, binds))

    def violation(self, request: Request) -> str:
        """Return what in a request its caller may not say, empty if one entry allows all of it."""
        found = ""
        for entry in self._entries:
            violation = entry.violation(request)
            if not violation:
                return ""
            found = found or violation
        return found or "may speak for nobody"


class Binds:
    """All entries of a configuration."""

    def __init__(self, binds: tuple[Bind, ...] = ()) -> None:
        self._binds = binds

    def __bool__(self) -> bool:
        """Tell whether callers are bound at all."""
        return bool(self._binds)

    def of(self, kind: CallerKind, name: str) -> Bounds | None:
        """Return what a caller may say; None, which is anything, only where there is no bind for anybody."""
        if not self._binds:
            return None
        return Bounds(each for each in self._binds if each.is_for(kind, name))


class _Entry:
    __slots__ = ("_for", "_roles", "_subjects", "_tenants")

    def __init__(self, bind: Bind) -> None:
        self._subjects = [tuple(map(_matcher, pattern.split("/", 1))) for pattern in bind.subjects]
        self._tenants = None if bind.tenants is None else any_glob(bind.tenants)
        self._roles = None if bind.roles is None else any_glob(bind.roles)
        self._for = any_glob(bind.on_behalf_of)

    def violation(self, request: Request) -> str:
        # types and ids are compared each by itself: joined, type "a/b" with id "c" would be type "a" with id "b/c"
        for kind, name in self._subjects:
            if kind(request.subject_type) and name(request.subject_id):
                break
        else:
            return f"may not speak as {_shown(f'{request.subject_type}/{request.subject_id}')}"
        if self._tenants:
            tenant = request.context.get("tenant")
            if type(tenant) is not str or not self._tenants(tenant):
                return f"may not speak in tenant {_shown(str(tenant))}"
        if self._roles and (request.roles is None or not all(map(self._roles, request.roles))):
            return "may not claim these roles"
        claimed = request.subject["properties"].get("on_behalf_of")
        if claimed is not None:
            texts = _texts(claimed)
            if texts is None or not all(map(self._for, texts)):
                return "may not act on behalf of these"
        return ""


def _matcher(pattern: str) -> Callable[[str], bool]:
    return any_glob((pattern,))


def _shown(name: str) -> str:
    return ascii(name[:MAX_SHOWN_CHARS])


def _texts(value: object) -> list[str] | None:
    """Return every text in a value, however deep, None if something in it is neither text nor made of texts.

    Keys are texts as well: to a condition ``"ada" in`` an object is whether it has such a key.
    """
    texts: list[str] = []
    found: list[Any] = [value]
    for each in found:
        if type(each) is str:
            texts.append(each)
        elif type(each) is dict:
            texts += each.keys() - _KEYS_OF_ENTITIES
            found += each.values()
        elif type(each) is list:
            found += each
        elif each is not None:
            return None
    return texts


def binds(value: object) -> tuple[Bind, ...]:
    """Return the entries of ``[[bind]]``. Raises ValueError with every mistake."""
    if not isinstance(value, list) or len(value) > MAX_BINDS:
        raise ValueError(f"is not a list of at most {MAX_BINDS} tables (write [[bind]])")
    mistakes: list[str] = []
    made = []
    for number, each in enumerate(value, 1):
        try:
            made.append(_bind(each))
        except ValueError as error:
            mistakes += [f"{number}: {mistake}" for mistake in mistakes_of(error)]
    if mistakes:
        raise MistakesError(mistakes)
    return tuple(made)


def _bind(value: object) -> Bind:
    found = _TABLE(value)
    named = [key for key in _CALLERS if key in found]
    if len(named) != 1:
        raise ValueError(f"names {'several callers' if named else 'no caller'} (expected one of {', '.join(_CALLERS)})")
    name = str(found.pop(named[0]))
    return Bind(kind=_CALLERS[named[0]], name=name, **found)


def _uid(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**32 - 1:
        raise ValueError(f"is not a user id (found {value!r})")
    return value


def _certificate(value: object) -> str:
    name = _pattern(value)
    if not name.startswith(CERTIFICATE_KINDS) or name in CERTIFICATE_KINDS:
        raise ValueError(f"is not the name of a certificate (expected for example uri:spiffe://acme/web, found {name})")
    return name


def _pattern(value: object) -> str:
    pattern = text(value)
    if RESERVED & set(pattern):
        raise ValueError(f"has a character that patterns do not have ({' '.join(sorted(RESERVED))}, found {pattern})")
    return pattern


def _patterns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PATTERNS:
        raise ValueError(f"is not a list of 1 to {MAX_PATTERNS} patterns")
    return tuple(map(_pattern, value))


def _subjects(value: object) -> tuple[str, ...]:
    patterns = _patterns(value)
    for each in patterns:
        kind, slash, name = each.partition("/")
        if not (kind and slash and name):
            raise ValueError(f"{each} is not type/id (expected for example registered_agent/deploy-*)")
    return patterns


_TABLE = table(
    {
        "uid": _uid,
        "token": text,
        "certificate": _certificate,
        "subjects": _subjects,
        "tenants": _patterns,
        "roles": _patterns,
        "on_behalf_of": _patterns,
    },
    required=("subjects",),
)
