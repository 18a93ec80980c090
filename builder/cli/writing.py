"""Writes files that commands are asked to leave behind."""

import os
import secrets
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
