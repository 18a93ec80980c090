"""Reference data: ``data/a/b.yaml`` or ``data/a/b.json`` is ``data.a.b`` in conditions."""

import re
from collections.abc import Iterable
from typing import Any

from builder.language.codes import Code
from builder.language.jsonfile import read_json
from builder.language.nodes import Report, plain
from builder.language.yamlfile import read_yaml

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER_SUFFIXES = (".yml", ".YAML", ".YML", ".JSON", ".csv", ".toml")


def read_data(files: Iterable[tuple[str, bytes]], overall: Report) -> dict[str, Any]:
    """Return the tree of all files below data/, given sorted by path; problems go to the lists of `overall`.

    A file and a folder, or two files, that would share a place are a problem: neither is merged into the other.
    """
    tree: dict[str, Any] = {}
    files_at: dict[tuple[str, ...], str] = {}  # places that are files
    taken: dict[tuple[str, ...], str] = {}  # those, and all folders above them
    for path, content in files:
        report = Report(path, overall.problems, overall.warnings, Code.UNUSABLE_FILE)
        stem, _, suffix = path.removeprefix("data/").rpartition(".")
        if suffix not in ("yaml", "json"):
            if path.endswith(_OTHER_SUFFIXES):
                report.file_problem(f"is not read as data (suffix .{suffix})", "data files end in .yaml or .json")
            continue
        place = tuple(stem.split("/"))
        if not all(_NAME.fullmatch(name) for name in place):
            hint = "use letters, digits and '_', starting with a letter: the path becomes data.a.b"
            report.file_problem(f"cannot be named in a condition as data.{'.'.join(place)}", hint)
            continue
        above = [place[:depth] for depth in range(1, len(place))]
        holder = taken.get(place) or next(filter(None, map(files_at.get, above)), None)
        if holder:
            hint = "a place comes from one file: rename or merge one of them"
            report.file_problem(f"data.{'.'.join(place)} collides with {holder}", hint)
            continue
        files_at[place] = path
        for folder in (*above, place):
            taken.setdefault(folder, path)
        _insert(tree, place, _read(suffix, content, report))
    return tree


def _read(suffix: str, content: bytes, report: Report) -> Any:
    if suffix == "json":
        return read_json(content, report)
    root = read_yaml(content, report)
    return None if root is None else plain(root)


def _insert(tree: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for name in place[:-1]:
        tree = tree.setdefault(name, {})
    tree[place[-1]] = value
