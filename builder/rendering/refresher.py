"""What runs ``writ refresh`` every hour without hanging on a forge: a systemd timer, a CronJob, a Lambda function."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from policy_core import __version__

SYSTEMD = ("writ-refresh.service", "writ-refresh.timer")
KUBERNETES = ("writ-refresh.yaml", "writ-refresh.Containerfile")
LAMBDA = ("writ_refresh_lambda.py",)

_TEMPLATES = Path(__file__).parent / "templates"


def files(names: Sequence[str], *, name: str, store: str) -> Mapping[str, str]:
    """Return the named files for the store of the policy repository called `name`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML; strings are quoted by the filters
    )
    environment.filters["systemd_word"] = _systemd_word
    values = {"name": name, "store": store, "version": __version__}
    return {each: environment.get_template(f"{each}.j2").render(values) for each in names}


def _systemd_word(text: str) -> str:
    """Return a word of a command line in a unit file, where `%` and `$` would begin something else."""
    for special, spelt in (("\\", r"\\"), ('"', r"\""), ("%", "%%"), ("$", "$$")):
        text = text.replace(special, spelt)
    return f'"{text}"'
