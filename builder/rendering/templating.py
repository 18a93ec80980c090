"""Templates of what is rendered, and how texts are quoted in each language they are written in."""

import json
from pathlib import Path

import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def from_template(template: str, **values: object) -> str:
    """Return the text of a template; a value it needs and does not get is an error."""
    return _ENVIRONMENT.get_template(f"{template}.j2").render(values)


def _systemd_word(text: str) -> str:
    """Return a word of a command line in a unit file, where `%` and `$` would begin something else."""
    for special, spelt in (("\\", r"\\"), ('"', r"\""), ("%", "%%"), ("$", "$$")):
        text = text.replace(special, spelt)
    return f'"{text}"'


def _quoted(text: str) -> str:
    """Return a text in double quotes, as TOML, YAML and JSON read it."""
    return json.dumps(text, ensure_ascii=False)


def _docker_word(text: str) -> str:
    """Return a value of an instruction in a Dockerfile, where `$` would begin a variable."""
    for special, spelt in (("\\", r"\\"), ('"', r"\""), ("$", r"\$")):
        text = text.replace(special, spelt)
    return f'"{text}"'


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - no HTML; texts are quoted by the filters
)
_ENVIRONMENT.filters |= {"systemd_word": _systemd_word, "quoted": _quoted, "docker_word": _docker_word}
