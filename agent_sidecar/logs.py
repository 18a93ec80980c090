"""Structured logs on stderr: JSON lines, or readable lines on a terminal; the same keys everywhere.

An event is a short word (``activated``); its facts are fields: ``bundle_digest``, ``revision``, ``channel``,
``release``, ``reason``.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from policy_core.printable import printable

LEVELS = ("debug", "info", "warning", "error")

_logger = logging.getLogger("agent_sidecar")


def debug(event: str, **fields: object) -> None:
    """Log what only matters to who looks for something."""
    _logger.debug(event, extra={"fields": fields})


def info(event: str, **fields: object) -> None:
    """Log something that went as it should."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    """Log something a person should look at."""
    _logger.warning(event, extra={"fields": fields})


def bug(event: str, error: BaseException, **fields: object) -> None:
    """Log an unexpected exception with its traceback: only at a process, thread or request boundary."""
    _logger.error(event, extra={"fields": fields}, exc_info=error)


def level() -> str:
    """Return the least level that is logged, one of `LEVELS`."""
    return logging.getLevelName(_logger.level).lower()


def set_level(name: str) -> None:
    """Log from one of `LEVELS` up, from now on."""
    _logger.setLevel(name.upper())


def configure(stream: TextIO | None = None, *, level: str = "info") -> None:
    """Send all logs from a level up to a stream (default stderr); libraries only from warnings up."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ReadableLines() if stream.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    set_level(level)


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time (RFC 3339), level and event, then the fields, then a traceback if there is one."""
        line = {"time": _moment(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {"logger": record.name})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class ReadableLines(logging.Formatter):
    """Time, level, event and ``key=value`` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the same facts as the JSON form, for people."""
        fields = "".join(f"  {key}={printable(value)}" for key, value in getattr(record, "fields", {}).items())
        line = f"{_moment(record)} {record.levelname.lower():7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
