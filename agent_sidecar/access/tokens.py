"""Bearer tokens by name, each in files of its own, read again while the sidecar runs.

A file holds one token a line: the old and the new one while callers move from one to the other. A token whose file is
gone, or holds none, is not accepted from then on; to replace a file, move a new one into its place.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path

from agent_sidecar import logs
from agent_sidecar.access.binding import Binds
from agent_sidecar.access.watching import Watched
from agent_sidecar.server.caller import Caller, CallerKind
from agent_sidecar.setting_parsers import MistakesError, file_content, mistakes_of, path, table, text

MIN_TOKEN_BYTES, MAX_TOKEN_BYTES = 16, 4096
MAX_PER_FILE = 8
MAX_TOKENS = 64
DEFAULT = "default"
"""Name of the token in ``token_file``."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A name for callers, and the file that holds what they send."""

    name: str
    path: Path


class Tokens:
    """The tokens callers may show; `problems` says what is wrong with their files by name."""

    def __init__(self, files: Sequence[TokenFile], binds: Binds | None = None) -> None:
        self._files = tuple(files)
        self._binds = binds or Binds()
        self._watched = Watched(each.path for each in self._files)
        self._known: tuple[tuple[bytes, Caller], ...] = ()
        self.problems: dict[str, str] = {}
        self._watched.changed()
        self.reload()

    def __bool__(self) -> bool:
        """Tell whether anybody may show one."""
        return bool(self._files)

    def caller(self, shown: bytes) -> Caller | None:
        """Return who shows an ``Authorization`` with this digest, None if nobody is known by it.

        All tokens are compared, so that the time this takes says nothing of any of them.
        """
        found = None
        for known, caller in self._known:
            if compare_digest(known, shown):
                found = caller
        return found

    def refresh(self) -> bool:
        """Read the files again if one of them has changed, and tell whether."""
        has_changed = self._watched.changed()
        if has_changed:
            self.reload()
        return has_changed

    def reload(self) -> None:
        """Read the files again. What cannot be read is no token any more."""
        known: dict[bytes, Caller] = {}
        problems = {}
        for file in self._files:
            caller = Caller(CallerKind.TOKEN, f"token {file.name}", bounds=self._binds.of(CallerKind.TOKEN, file.name))
            try:
                for token in tokens_in(file.path):
                    other = known.setdefault(digest_of(b"Bearer " + token), caller)
                    if other.name != caller.name:
                        problems[file.name] = f"{file.path} holds what is {other.name}: it stays that"
            except (OSError, ValueError) as error:
                problems[file.name] = str(error)
        for name in problems.keys() - self.problems.keys():
            logs.warning("token_unusable", token=name, reason=problems[name])
        self._known, self.problems = tuple(known.items()), problems


def digest_of(authorization: bytes) -> bytes:
    """Return what stands for an ``Authorization``: nothing of ours keeps the token itself."""
    return hashlib.sha256(authorization).digest()


def tokens_in(file: Path) -> tuple[bytes, ...]:
    """Return the tokens in a file that is closed to others. Raises ValueError."""
    content = file_content(file, max_bytes=MAX_TOKEN_BYTES)
    if file.stat().st_mode & 0o007:
        raise ValueError(f"{file} is open to every user of this machine (expected mode 0600)")
    lines = tuple(line for line in map(bytes.strip, content.splitlines()) if line)
    sound = all(len(line) >= MIN_TOKEN_BYTES and line.isascii() and len(line.split()) == 1 for line in lines)
    if not sound or not 1 <= len(lines) <= MAX_PER_FILE:
        raise ValueError(
            f"{file} holds no token (expected 1 to {MAX_PER_FILE} lines of at least {MIN_TOKEN_BYTES} ASCII characters)"
        )
    return lines


def token_file(value: object) -> TokenFile:
    """Return the token of ``token_file``, which has no name of its own. Raises ValueError."""
    file = path(value)
    tokens_in(file)
    return TokenFile(DEFAULT, file)


def token_files(value: object) -> tuple[TokenFile, ...]:
    """Return the entries of ``[[token]]``. Raises ValueError with every mistake."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TOKENS:
        raise ValueError(f"is not a list of 1 to {MAX_TOKENS} tables (write [[token]])")
    mistakes: list[str] = []
    made: list[TokenFile] = []
    for number, each in enumerate(value, 1):
        try:
            found = _TABLE(each)
            made.append(TokenFile(found["name"], found["file"]))
            tokens_in(made[-1].path)
        except ValueError as error:
            mistakes += [f"{number}: {mistake}" for mistake in mistakes_of(error)]
    names = [each.name for each in made]
    mistakes += [f"{name}: occurs twice" for name in sorted({each for each in names if names.count(each) > 1})]
    if mistakes:
        raise MistakesError(mistakes)
    return tuple(made)


def _name(value: object) -> str:
    if not _NAME.fullmatch(text(value)):
        raise ValueError(f"is not a name (expected lower-case letters, digits and . _ -, found {value!r})")
    return text(value)


_TABLE = table({"name": _name, "file": path}, required=("name", "file"))
