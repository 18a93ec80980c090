"""The template of a policy repository: what ``writ init`` writes.

Files whose name ends in ``.j2`` are rendered with jinja2, in which an unknown name is an error; the others are copied
as they are. The result is a value: paths and contents, nothing is written here. The folder ``library`` in it is no part
of a new repository: see `builder.library`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import jinja2

import builder
from policy_core import __version__

_PACKAGE = Path(builder.__file__).parent
# in an installed wheel, or else in a checkout
_PLACES = (_PACKAGE / "template", _PACKAGE.parent / "policy-repo-template")
LIBRARY = "library"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValues:
    """What differs from one new policy repository to the next; policies count as reviewed on `today`."""

    name: str
    store: str
    today: date

    def variables(self) -> dict[str, str]:
        """Return the variables the template files use."""
        return {"name": self.name, "store": self.store, "version": __version__, **dates(self.today)}


def dates(today: date) -> dict[str, str]:
    """Return the dates that files of the template use: policies expire a year from `today`."""
    leap_day = (today.month, today.day) == (2, 29)
    found = {
        "today": today,
        "in_30_days": today + timedelta(days=30),
        "in_six_weeks": today + timedelta(weeks=6),
        "in_a_year": today.replace(year=today.year + 1, day=28 if leap_day else today.day),
    }
    return {name: day.isoformat() for name, day in found.items()}


def find_template() -> Path:
    """Return the folder of the template, as shipped in the wheel or as it lies in a checkout."""
    return next(place for place in _PLACES if place.is_dir())


def render(template: Path, values: TemplateValues) -> Mapping[str, bytes]:
    """Return the files of a new policy repository: relative POSIX path to content, sorted by path."""
    files = render_folder(template, values.variables())
    return {path: content for path, content in files.items() if not path.startswith(f"{LIBRARY}/")}


def render_folder(folder: Path, variables: Mapping[str, str]) -> Mapping[str, bytes]:
    """Return all files of a folder with the variables filled in: relative POSIX path to content, sorted by path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML and Markdown, not HTML; strings are quoted by the tojson filter
    )
    files = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file():
            continue
        if path.suffix == ".j2":
            files[name.removesuffix(".j2")] = environment.get_template(name).render(variables).encode()
        else:
            files[name] = path.read_bytes()
    return dict(sorted(files.items()))
