"""Where values of settings come from: a TOML file, then the environment, then flags; the later wins.

Tables are merged key by key. Each value keeps the name of its origin, for what is said about a mistake.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_sidecar.configuration.settings import ENVIRONMENT_PREFIX, Form, Setting
from agent_sidecar.setting_parsers import toml_value, unknown_keys
from policy_core.errors import Problem, UsageError

_SERVICE_LINK = re.compile(
    r"\w+_SERVICE_(?:HOST|PORT(?:_\w+)?)=.*|\w+_PORT(?:_\d+_[A-Z]+)?=[a-z]+://.*|\w+_PORT_\d+_[A-Z]+_(?:PROTO|PORT|ADDR)=.*",
    re.DOTALL,
)
"""A variable that Kubernetes gives to every container of a namespace with a service of such a name: no mistake."""


class ConfigurationError(UsageError):
    """The configuration has mistakes: all of them, each with the file, variable or flag it comes from."""

    default_hint = "see writ-sidecar run --help"

    def __init__(self, problems: "list[Problem]") -> None:
        several = len(problems) > 1
        one = f"{problems[0].where}: {problems[0].message}"
        super().__init__(f"run: {len(problems)} mistakes in the configuration" if several else one)
        self.problems = tuple(problems) if several else ()

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Return each mistake as one line."""
        return tuple(f"{each.where}: {each.message}" for each in self.problems) or (self.message,)


@dataclass(frozen=True, slots=True)
class Given:
    """A value and its origin: a file (`in_file`), a variable or a flag; several, where a table was merged."""

    value: Any
    origin: str
    in_file: bool = False

    def problem(self, key: str, message: str) -> Problem:
        """Return a mistake in this value; a variable or a flag need not be told its own name."""
        return Problem(self.origin, 0, 0, f"{key}: {message}" if self.in_file else message)


Layer = Mapping[str, Given]


def gather(
    settings: tuple[Setting, ...], file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> tuple[dict[str, Given], list[Problem]]:
    """Return what is given for each key, and what is wrong with how it is given.

    Raises ConfigurationError if there is no reading the file.
    """
    problems: list[Problem] = []
    gathered: dict[str, Given] = {}
    layers = (_from_file(settings, file, problems), _from_environment(settings, environment, problems))
    for layer in (*layers, _from_flags(settings, flags, problems)):
        for key, given in layer.items():
            gathered[key] = _merged(gathered[key], given) if key in gathered else given
    return gathered, problems


def _merged(under: Given, over: Given) -> Given:
    if not isinstance(under.value, dict) or not isinstance(over.value, dict):
        return over
    origin = f"{under.origin}, {over.origin}"
    return Given({**under.value, **over.value}, origin, in_file=under.in_file)


def _from_file(settings: tuple[Setting, ...], file: Path | None, problems: list[Problem]) -> Layer:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError([_wrong(file, f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError
        raise ConfigurationError([_wrong(file, f"is not TOML: {error}")]) from error
    folder = file.absolute().parent
    problems += [_wrong(file, mistake) for mistake in unknown_keys(content, [each.key for each in settings])]
    return {
        each.key: Given(_below(folder, each, content[each.key]), str(file), in_file=True)
        for each in settings
        if each.key in content
    }


def _below(folder: Path, setting: Setting, value: Any) -> Any:
    """Return a value whose paths start from a folder."""
    if setting.form is Form.PATH and isinstance(value, str) and value:
        return folder / value
    if setting.paths and isinstance(value, list):
        return [_below(folder, setting, each) for each in value]
    if setting.paths and isinstance(value, dict):
        moved = {key: folder / value[key] for key in setting.paths if isinstance(value.get(key), str) and value[key]}
        return {**value, **moved}
    return value


def _from_environment(settings: tuple[Setting, ...], environment: Mapping[str, str], problems: list[Problem]) -> Layer:
    ours = {
        name.removeprefix(ENVIRONMENT_PREFIX)
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and not _SERVICE_LINK.fullmatch(f"{name}={value}")
    }
    known = [each.key.upper() for each in settings]
    problems += [Problem("environment", 0, 0, each) for each in unknown_keys(ours, known, prefix=ENVIRONMENT_PREFIX)]
    written = {each: environment[each.variable] for each in settings if each.variable in environment}
    return _as_written(written, {each: each.variable for each in written}, problems)


def _from_flags(settings: tuple[Setting, ...], flags: Mapping[str, Any], problems: list[Problem]) -> Layer:
    written = {each: flags[each.key] for each in settings if flags.get(each.key) is not None}
    return _as_written(written, {each: each.flag or each.key for each in written}, problems)


def _as_written(written: Mapping[Setting, Any], origins: Mapping[Setting, str], problems: list[Problem]) -> Layer:
    layer = {}
    for setting, value in written.items():
        given = Given(value, origins[setting])
        if setting.form is Form.TOML and isinstance(value, str):
            try:
                given = Given(toml_value(value), given.origin)
            except ValueError as error:
                problems.append(given.problem(setting.key, str(error)))
                continue
        layer[setting.key] = given
    return layer


def _wrong(file: Path, message: str) -> Problem:
    return Problem(str(file), 0, 0, message)
