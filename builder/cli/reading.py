"""Files that commands are given: requests, and answers of a sidecar."""

import sys
from pathlib import Path
from typing import Any

from policy_core.decoding import decode_request
from policy_core.errors import UsageError
from policy_core.request import RequestError

MAX_INPUT_BYTES = 2**20


def read_input(directory: Path, file: Path, what: str) -> bytes:
    """Return the content of a file, or of stdin for ``-``. Raises UsageError."""
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with (directory / file).open("rb") as stream:
                content = stream.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror})", hint="name a JSON file, or '-' for stdin"
        ) from error
    if len(content) > MAX_INPUT_BYTES:
        raise UsageError(f"{file}: {what} is too large (limit {MAX_INPUT_BYTES} bytes)", hint="send less of it")
    return content


def read_request(directory: Path, file: Path) -> Any:
    """Return the request in a JSON file, not yet normalised. Raises UsageError."""
    try:
        return decode_request(read_input(directory, file, "request"))
    except RequestError as error:
        raise UsageError(f"{file}: {error.message}", hint=error.hint) from error
