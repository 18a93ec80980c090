"""The template of a policy repository: what ``writ init`` writes.

Files whose name ends in ``.j2`` are rendered with jinja2, in which an unknown name is an error; the others are copied
as they are. The result is a value: paths and contents, nothing is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import jinja2

import builder
from policy_core import __version__

_PACKAGE = Path(builder.__file__).parent
# in an installed wheel, or else in a checkout
_PLACES = (_PACKAGE / "template", _PACKAGE.parent / "policy-repo-template")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValues:
    """What differs from one new policy repository to the next; policies count as reviewed on `today`."""

    name: str
    store: str
    today: date

    def variables(self) -> dict[str, str]:
        """Return the variables the template files use; policies expire a year from `today`."""
        year = self.today.year + 1
        leap_day = (self.today.month, self.today.day) == (2, 29)
        in_a_year = self.today.replace(year=year, day=28) if leap_day else self.today.replace(year=year)
        return {
            "name": self.name,
            "store": self.store,
            "today": self.today.isoformat(),
            "in_a_year": in_a_year.isoformat(),
            "version": __version__,
        }


def find_template() -> Path:
    """Return the folder of the template, as shipped in the wheel or as it lies in a checkout."""
    return next(place for place in _PLACES if place.is_dir())


def render(template: Path, values: TemplateValues) -> Mapping[str, bytes]:
    """Return the files of a new policy repository: relative POSIX path to content, sorted by path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML and Markdown, not HTML; strings are quoted by the tojson filter
    )
    variables = values.variables()
    files = {}
    for path in template.rglob("*"):
        name = path.relative_to(template).as_posix()
        if not path.is_file():
            continue
        if path.suffix == ".j2":
            files[name.removesuffix(".j2")] = environment.get_template(name).render(variables).encode()
        else:
            files[name] = path.read_bytes()
    return dict(sorted(files.items()))
