"""``Approved-by`` trailers: who is said to approve, in the last paragraph of a commit message."""

import re

import pygit2

from builder.language.approvers import NAME

_TRAILER = re.compile(rb"approved-by[ \t]*:[ \t]*(.*?)[ \t\r]*", re.IGNORECASE)
_MAX_NAMES = 100


def read_approved_by(commit: pygit2.Commit) -> tuple[str, ...]:
    """Return the names in a commit's trailers, each once, as far as they can be names."""
    last = commit.raw_message.replace(b"\r\n", b"\n").rstrip().rpartition(b"\n\n")[2]
    found = (_TRAILER.fullmatch(line) for line in last.split(b"\n"))
    names = dict.fromkeys(match[1].decode("ascii", "replace") for match in found if match)
    return tuple(name for name in names if NAME.fullmatch(name))[:_MAX_NAMES]
