"""Writes files that commands are asked to leave behind."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from policy_core.errors import UsageError


def write_file(path: Path, content: bytes, *, option: str) -> None:
    """Replace the file at once or not at all.

    Raises UsageError if it cannot be written; `option` is the one that named it.
    """
    try:
        _replace(path, content)
    except OSError as error:
        hint = f"choose another place with {option}"
        raise UsageError(f"{path}: cannot be written ({error.strerror})", hint=hint) from error


def replace_file(path: Path, before: bytes, content: bytes) -> None:
    """Replace a file that is there at once or not at all, keeping its mode.

    Raises UsageError if it cannot be written, or is not what it was when it was read.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.read_bytes() != before:
            raise UsageError(f"{path}: was changed meanwhile, and is left as it is", hint="run the command again")
        _replace(path, content, mode=mode)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})", hint="make the file writable") from error


def _replace(path: Path, content: bytes, *, mode: int | None = None) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder by their relative paths, each at once or not at all, making folders as needed.

    Raises UsageError if one cannot be written.
    """
    try:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            _replace(folder / path, content)
    except OSError as error:
        raise UsageError(
            f"{error.filename}: cannot be written ({error.strerror})", hint="name a directory that you may write to"
        ) from error
