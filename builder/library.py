"""The library: policies for common runtime primitives, each with its data and tests, to copy into a repository.

A folder of the library is laid out like a policy repository, so that adding a primitive is copying its files. From then
on they belong to the repository: nothing here is consulted when policies are built. The exception is its ``writ.yaml``,
if it has one: what the author adds to theirs, as that file says whom they trust.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from builder.language.documents import read_document
from builder.language.metadata import Metadata
from builder.language.nodes import Report
from builder.templating import LIBRARY, dates, render_folder
from policy_core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Primitive:
    """One folder of the library: its files by their path in a policy repository, and what its policy is called.

    `settings` is what to add to ``writ.yaml`` by hand, empty for most.
    """

    name: str
    title: str
    intent: str
    files: Mapping[str, bytes]
    settings: str = ""


def read_library(template: Path, *, today: datetime.date) -> tuple[Primitive, ...]:
    """Return the primitives of a template, sorted by name; their policies count as reviewed on `today`."""
    folders = sorted(path for path in (template / LIBRARY).iterdir() if path.is_dir())
    return tuple(_primitive(folder, today) for folder in folders)


def choose(library: Iterable[Primitive], names: Iterable[str]) -> tuple[Primitive, ...]:
    """Return the primitives of these names, in this order, each once. Raises UsageError naming every unknown one."""
    by_name = {primitive.name: primitive for primitive in library}
    wanted = tuple(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        close = get_close_matches(unknown[0], by_name, n=1)
        hint = f"did you mean {close[0]}?" if close else "`writ library list` names them"
        raise UsageError(f"no such primitive: {', '.join(unknown)}", hint=hint)
    return tuple(by_name[name] for name in wanted)


def missing_files(folder: Path, primitives: Iterable[Primitive]) -> Mapping[str, bytes]:
    """Return the files of primitives that a repository at `folder` lacks.

    Raises UsageError, naming all of them, if there are files of these names that hold something else.
    """
    files = {path: content for primitive in primitives for path, content in primitive.files.items()}
    there = [path for path in files if (folder / path).exists()]
    others = [path for path in there if not (folder / path).is_file() or (folder / path).read_bytes() != files[path]]
    if others:
        raise UsageError(
            f"{', '.join(others)}: there already, with other content",
            hint="nothing was written; rename what you have, or keep it: it may be an earlier copy you have adapted",
        )
    return {path: content for path, content in files.items() if path not in there}


def _primitive(folder: Path, today: datetime.date) -> Primitive:
    files = dict(render_folder(folder, dates(today)))
    settings = files.pop("writ.yaml", b"").decode()
    path = f"policies/primitives/{folder.name}.yaml"
    document = read_document(files[path], Report(path), today=None)
    metadata = document.metadata if document else Metadata()  # a test holds that it can be read
    return Primitive(folder.name, metadata.title, metadata.intent, files, settings)
