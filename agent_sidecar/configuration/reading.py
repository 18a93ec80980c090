"""Reading a configuration: every value parsed, what does not go together found, and all mistakes told at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent_sidecar.access.exclusions import contradictions
from agent_sidecar.configuration.model import SETTINGS, SOCKET, Configuration
from agent_sidecar.configuration.sources import ConfigurationError, Given, gather
from agent_sidecar.setting_parsers import mistakes_of
from policy_core.errors import InvalidError, Problem


def read_configuration(
    file: Path | None, flags: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Configuration:
    """Return the configuration of a TOML file, overridden by the environment, overridden by flags (None: not given).

    Raises ConfigurationError listing every mistake.
    """
    given, problems = gather(SETTINGS, file, environment or {}, flags)
    values: dict[str, Any] = {}
    for each in SETTINGS:
        if each.key in given:
            try:
                values[each.field] = each.parse(given[each.key].value)
            except (ValueError, InvalidError) as error:
                problems += [given[each.key].problem(each.key, mistake) for mistake in mistakes_of(error)]
        elif each.is_required:
            problems.append(Problem("run", 0, 0, f"{each.key} is missing (expected {each.flag} or {each.variable})"))
    contradicting = [*_contradictions(given, file), *contradictions(given, values)]
    problems += [given[key].problem(key, mistake) for key, mistake in contradicting]
    if problems:
        raise ConfigurationError(problems)
    values.setdefault("socket", values["state"] / SOCKET)
    return Configuration(**values)


def state_directory(file: Path | None, environment: Mapping[str, str]) -> Path:
    """Return just the state directory of a configuration. Raises ConfigurationError."""
    return Path(_just("state", file, environment))


def trusted_root(file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Return just the trust root of a configuration. Raises ConfigurationError."""
    return bytes(_just("root", file, environment))


def _just(key: str, file: Path | None, environment: Mapping[str, str]) -> Any:
    (only,) = (each for each in SETTINGS if each.key == key)
    given, _ = gather(SETTINGS, file, environment, {})
    if key not in given:
        raise ConfigurationError([Problem(str(file or "environment"), 0, 0, f"{key} is missing")])
    try:
        return only.parse(given[key].value)
    except ValueError as error:
        raise ConfigurationError([given[key].problem(key, str(error))]) from error


def _contradictions(given: Mapping[str, Given], file: Path | None) -> Iterator[tuple[str, str]]:
    """Yield settings that make no sense, or are not safe, beside others: key, and what is wrong."""
    if "max_stale" in given and ("on_stale" not in given or given["on_stale"].value == "keep"):
        yield "max_stale", 'bounds nothing while on_stale is "keep" (expected on_stale = "deny")'
    if "bind" in given and "in_process" in given and given["in_process"].value is True:
        yield "in_process", "lets applications decide for any subject, which bind would keep them from"
    fleet_store = given.get("fleet_store")
    if file and fleet_store and fleet_store.in_file and _holds_password(fleet_store.value) and _is_open(file):
        yield "fleet_store", f"holds a password, and {file} is open to every user of this machine"


def _holds_password(url: object) -> bool:
    try:
        return isinstance(url, str) and bool(urlsplit(url).password)
    except ValueError:  # no URL: its parser says so
        return False


def _is_open(file: Path) -> bool:
    return bool(file.stat().st_mode & 0o007)
