"""Writes files that commands are asked to leave behind."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from policy_core.errors import UsageError


def write_file(path: Path, content: bytes, *, option: str) -> None:
    """Replace the file at once or not at all.

    Raises UsageError if it cannot be written; `option` is the one that named it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        hint = f"choose another place with {option}"
        raise UsageError(f"{path}: cannot be written ({error.strerror})", hint=hint) from error


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder by their relative paths, making folders where there are none.

    Raises UsageError if one cannot be written.
    """
    try:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"{error.filename}: cannot be written ({error.strerror})", hint="name a directory that you may write to"
        ) from error
