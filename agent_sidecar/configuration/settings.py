"""What a setting is: its key, how it is parsed, what is said of it, and how it is spelt where it comes from.

The fields of `Configuration` carry these. Keys of the file, names of environment variables, flags of ``run`` and the
reference page all derive from them: one entry adds a setting everywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from functools import partial

from agent_sidecar.setting_parsers import Parser

ENVIRONMENT_PREFIX = "WRIT_SIDECAR_"


class Form(StrEnum):
    """How a setting is written in a variable or a flag: as a text, as a path, or as TOML spells its value."""

    TEXT = "text"
    PATH = "path"
    TOML = "toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of the configuration; `field` is the attribute of `Configuration` it becomes.

    `flag` is its option of ``run`` (empty: none), `metavar` what that takes. `help` is plain and `more` is Markdown,
    for the reference page alone; `shown` is the default there, empty for what must be given. `paths` are the keys of a
    table that hold paths. A `live` setting takes effect with a reload, others with a restart.
    """

    key: str
    field: str
    parse: Parser
    form: Form
    flag: str
    metavar: str
    help: str
    more: str
    shown: str
    paths: tuple[str, ...]
    live: bool

    @property
    def variable(self) -> str:
        """Return the environment variable that holds it."""
        return ENVIRONMENT_PREFIX + self.key.upper()

    @property
    def is_required(self) -> bool:
        """Tell whether there is no default."""
        return not self.shown


def setting(
    key: str,
    parse: Parser,
    help_text: str,
    *,
    shown: str = "",
    metavar: str = "",
    flag: str = "",
    form: Form = Form.TEXT,
    more: str = "",
    paths: tuple[str, ...] = (),
    live: bool = False,
) -> dict[str, Callable[..., Setting]]:
    """Return the metadata that makes a field of `Configuration` a setting.

    It has a flag if it has a `metavar`: give none to what may hold a secret, as every user sees command lines.
    """
    flag = flag or ("--" + key.replace("_", "-") if metavar else "")
    made = partial(
        Setting, key=key, parse=parse, form=form, flag=flag, metavar=metavar, help=help_text, more=more, shown=shown,
        paths=paths, live=live,
    )  # fmt: skip
    return {"setting": made}


def settings_of(model: type) -> tuple[Setting, ...]:
    """Return the settings of a dataclass in the order of its fields."""
    return tuple(_settings_of(model))


def _settings_of(model: type) -> Iterator[Setting]:
    each: Field[object]
    for each in fields(model):
        made: Setting = each.metadata["setting"](field=each.name)
        has_default = each.default is not MISSING or each.default_factory is not MISSING
        if has_default and made.is_required:
            raise TypeError(f"{made.key}: has a default that is not shown")
        yield made
