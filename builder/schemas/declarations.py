"""The schemas of a repository: ``schemas/data/**`` for reference data, the others for the attributes of requests.

====================================  =======================================
file                                  describes
====================================  =======================================
``schemas/data/a/b.yaml``             ``data/a/b.yaml`` or ``data/a/b.json``
``schemas/subjects/TYPE.yaml``        ``subject.properties`` of that type
``schemas/actions/NAME.yaml``         ``action.properties`` of that action
``schemas/resources/TYPE.yaml``       ``resource.properties`` of that type
``schemas/context.yaml``              ``context``
====================================  =======================================

Each may end in ``.json`` instead; a folder is a slash in the type. No schema of a kind: nothing of it is checked.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from builder.language.codes import Code
from builder.language.jsonfile import read_json
from builder.language.locating import locate
from builder.language.nodes import Report, plain
from builder.language.yamlfile import read_yaml
from builder.schemas.checking import schema_findings
from builder.schemas.shapes import Branch, Declared, Place, declared, entries, step
from policy_core.glob import match_glob

FOLDER = "schemas"
MAX_SCHEMA_BYTES = 256 * 2**10
_KINDS = {"subjects": "subject", "actions": "action", "resources": "resource"}
_TEXT = Declared(frozenset({"string"}))
_SCALARS = {
    ("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"), ("resource", "id"),
}  # fmt: skip
_Question = tuple[tuple[str, ...], tuple[str, ...]]  # a path, and the types in question
_TEXTS = {"type": "array", "items": {"type": "string"}}
_BUILT_IN: dict[str, Any] = {
    "subject": {"properties": {"roles": _TEXTS}},
    "resource": {"properties": {"roles": _TEXTS}},
    "context": {
        "properties": {
            "tenant": {"type": "string"}, "risk_tags": _TEXTS, "labels": {"type": "object"},
            "capability": {"type": "string"}, "requires": _TEXTS, "pack_id": {"type": "string"},
            "job": {"type": "object"}, "grants": {"type": "array"},
        }
    },
}  # fmt: skip
"""What Writ itself gives a meaning: always declared."""


@dataclass(frozen=True, slots=True)
class Source:
    """A schema as it was read, and the file it comes from."""

    file: str
    document: Any


@dataclass(frozen=True, slots=True)
class Scope:
    """Which types a rule is about: globs over subject types, action names and resource types; empty is any."""

    subject: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()


ANY = Scope()


@dataclass(frozen=True, slots=True)
class Declarations:
    """All schemas: those of data by place (``a/b``), those of requests by root and type (context has one, ``""``)."""

    files: tuple[tuple[str, bytes], ...] = ()
    data: dict[str, Source] = field(default_factory=dict)
    requests: dict[str, dict[str, Source]] = field(default_factory=dict)
    _places: dict[_Question, Place | None] = field(default_factory=dict)
    _declared: dict[_Question, Declared | None] = field(default_factory=dict)

    def place(self, path: tuple[str, ...], scope: Scope = ANY) -> Place | None:
        """Return what schemas say of the attribute at a path; None: nothing, it is free; empty: there is none such."""
        question = (path, getattr(scope, path[0], ()))
        if question not in self._places:
            self._places[question] = self._place(path, scope)
        return self._places[question]

    def _place(self, path: tuple[str, ...], scope: Scope) -> Place | None:
        root, *names = path
        if root not in self.requests or (root != "context" and names[:1] != ["properties"]):
            return None
        if root != "context":
            names = names[1:]
        place = _walk(self._roots(root, scope), names)
        return _walk(_built_in(root), names) if place == () else place

    def declares(self, path: str) -> bool:
        """Tell whether the attribute at a dotted path always exists, or a schema declares it for some type."""
        parts = tuple(path.split("."))
        return parts in _SCALARS or bool(self.place(parts))

    def declared(self, path: tuple[str, ...], scope: Scope) -> Declared | None:
        """Return what values an attribute may have; None if nobody says."""
        question = (path, getattr(scope, path[0], ()))
        if question not in self._declared:
            place = self.place(path, scope)
            self._declared[question] = _TEXT if path in _SCALARS else declared(place) if place else None
        return self._declared[question]

    def entry(self, path: tuple[str, ...], scope: Scope) -> Declared | None:
        """Return what values the entries of a list may have; None if nobody says."""
        found = entries(self.place(path, scope) or ())
        return declared(found) if found else None

    def names(self, path: tuple[str, ...], scope: Scope) -> list[str]:
        """Return the names that schemas list below a path, sorted."""
        place = self.place(path, scope) or ()
        return sorted({name for branch in place for name in branch.names()})

    def undeclared_types(self, root: str, scope: Scope) -> list[str]:
        """Return those of a scope's globs that no declared type matches; none if no type is declared."""
        types = self.requests.get(root)
        if not types:
            return []
        return [glob for glob in getattr(scope, root, ()) if not any(match_glob(glob, name) for name in types)]

    def _roots(self, root: str, scope: Scope) -> Place | None:
        sources = self.requests[root]
        globs = getattr(scope, root, ())
        if self.undeclared_types(root, scope):
            return None  # who is of such a type may have any attribute
        return tuple(
            Branch(source.document, source.document)
            for name, source in sources.items()
            if not globs or any(match_glob(glob, name) for glob in globs)
        )


def _built_in(root: str) -> Place:
    schema = _BUILT_IN.get(root)
    return (Branch(schema, schema),) if schema else ()


def _walk(place: Place | None, names: Iterable[str]) -> Place | None:
    for name in names if place is not None else ():
        place = step(place or (), name)
    return place


def read_declarations(files: Iterable[tuple[str, bytes]], overall: Report) -> Declarations:
    """Return the schemas below schemas/; problems go to the lists of `overall`."""
    found = Declarations(tuple(files))
    for path, content in found.files:
        report = Report(path, overall.problems, overall.warnings, Code.UNUSABLE_FILE)
        stem, _, suffix = path.removeprefix(f"{FOLDER}/").rpartition(".")
        folder, _, name = stem.partition("/")
        if suffix not in ("yaml", "json"):
            if suffix in ("yml", "YAML", "YML", "JSON"):
                report.file_problem(f"is not read as a schema (suffix .{suffix})", "schemas end in .yaml or .json")
            continue
        if folder == "data" and name:
            group, key = found.data, name
        elif folder in _KINDS and name:
            group, key = found.requests.setdefault(_KINDS[folder], {}), name
        elif stem == "context":
            group, key = found.requests.setdefault("context", {}), ""
        else:
            hint = "schemas are in schemas/data/, subjects/, actions/ and resources/ there, and schemas/context.yaml"
            report.file_problem("describes nothing that is known", hint)
            continue
        document = _read(path, suffix, content, report)
        if key in group:
            report.file_problem(f"describes the same as {group[key].file}", "keep one of them")
        else:
            group[key] = Source(path, document)
    return found


def _read(path: str, suffix: str, content: bytes, report: Report) -> Any:
    """Return a schema document; one with problems as a schema that lets everything pass, so that they are told once."""
    if len(content) > MAX_SCHEMA_BYTES:
        report.file_problem(f"schema is too large ({len(content)} bytes, limit {MAX_SCHEMA_BYTES})", "describe less")
        return {}
    before = len(report.problems)
    root = None if suffix == "json" else read_yaml(content, report)
    document = read_json(content, report) if suffix == "json" else root and plain(root)
    if len(report.problems) > before:
        return {}
    report = report.of(Code.INVALID_SCHEMA)
    findings = schema_findings(document)
    for found in findings:
        report.at(locate(path, content, found.path, at_key=found.at_key), found.message, found.hint)
    return {} if findings else document
