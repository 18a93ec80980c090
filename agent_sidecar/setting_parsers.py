"""What turns the value of a setting into what the sidecar works with: for the settings of every area.

A parser takes what TOML, a variable or a flag gave and raises ValueError, whose text says what was expected and what
was found. It imports nothing of the areas, so that each of them can parse its own table with these.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from bundle_store.opening import StoreUrlError, open_reader, open_records
from bundle_store.port import Store
from policy_core.errors import InvalidError

Parser = Callable[[Any], Any]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class MistakesError(ValueError):
    """Several mistakes in one value, each told by itself."""

    def __init__(self, mistakes: Collection[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


def text(value: object) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text")
    return value


def path(value: object) -> Path:
    """Return an absolute path; a relative one starts from the working directory."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("is not a path")
    return Path(value).absolute()


def count(value: object) -> int:
    """Return a whole number that is not negative."""
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"is not a count (found {value!r})")
    return value


def whole(least: int, most: int) -> Parser:
    """Return a parser of whole numbers within two bounds."""

    def parse(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"is not a whole number from {least} to {most} (found {value!r})")
        return value

    return parse


def store_url(value: object) -> str:
    """Return the URL of a store to read from; nothing is contacted."""
    return _opened(value, open_reader)


def records_url(value: object) -> str:
    """Return the URL of a store that hosts write records to; nothing is contacted."""
    return _opened(value, open_records)


def _opened(value: object, opener: Callable[[str], Store]) -> str:
    url = text(value)
    try:
        return opener(url).url
    except StoreUrlError as error:
        raise ValueError(f"{error.message} (expected for example s3://bucket/prefix)") from error


def switch(value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"is neither true nor false (found {value!r})")  # noqa: TRY004 - what every parser raises
    return value


def duration_s(value: object) -> float:
    """Return seconds of ``500ms``, ``30s``, ``1.5h`` and the like."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"not a duration (expected for example 30s, 5m or 24h, found {value!r})")
    return float(found[1]) * _UNITS[found[2]]


def file_mode(value: object) -> int:
    """Return the permission bits of a file, written in octal."""
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError(f'is not a file mode (expected for example "0660", found {value!r})')
    return int(value, 8)


def one_of(*words: str) -> Callable[[object], str]:
    """Return a parser of a closed set of words."""

    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"unknown word (expected {' or '.join(words)}, found {value!r})")
        return str(value)

    return parse


def between(least_s: float, most_s: float) -> Callable[[object], float]:
    """Return a parser of durations within bounds."""

    def parse(value: object) -> float:
        seconds = duration_s(value)
        if not least_s <= seconds <= most_s:
            raise ValueError(f"out of range (expected {least_s:g}s to {most_s:g}s, found {value})")
        return seconds

    return parse


def table(parsers: Mapping[str, Parser], *, required: Collection[str] = ()) -> Callable[[object], dict[str, Any]]:
    """Return a parser of a table with these keys: parsed values of those that are there, or all its mistakes."""

    def parse(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("is not a table")  # noqa: TRY004 - what every parser raises
        mistakes = unknown_keys(value, parsers)
        mistakes += [f"{key} is missing" for key in required if key not in value]
        parsed = {}
        for key, found in value.items():
            if key in parsers:
                try:
                    parsed[key] = parsers[key](found)
                except (ValueError, InvalidError) as error:
                    mistakes += [f"{key}: {mistake}" for mistake in mistakes_of(error)]
        if mistakes:
            raise MistakesError(mistakes)
        return parsed

    return parse


def unknown_keys(given: Collection[str], known: Collection[str], *, prefix: str = "") -> list[str]:
    """Return a mistake for each key that is not known, with the one that was meant if that can be told.

    `prefix` is what is said before the names of keys.
    """
    mistakes = []
    for key in sorted(set(given) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        mistakes.append(f"{prefix}{key} is not a setting" + (f" (did you mean {prefix}{near[0]}?)" if near else ""))
    return mistakes


def mistakes_of(error: Exception) -> tuple[str, ...]:
    """Return what a parser said, each mistake by itself."""
    return error.mistakes if isinstance(error, MistakesError) else (str(error),)


def toml_value(written: str) -> Any:
    """Return the value of a text as TOML spells it: ``3``, ``true``, ``{env = "prod"}``."""
    try:
        parsed = tomllib.loads(f"value = {written}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if parsed.keys() != {"value"}:  # a line break could begin another key
        raise ValueError('is not a TOML value (expected for example 3, true or {name = "text"})')
    return parsed["value"]


def file_content(value: object, *, max_bytes: int) -> bytes:
    """Return what is in a file that is neither empty nor too large."""
    file = path(value)
    try:
        with file.open("rb") as opened:
            content = opened.read(max_bytes + 1)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    if not content or len(content) > max_bytes:
        raise ValueError(f"{file} has a wrong size (expected 1 to {max_bytes} bytes)")
    return content
