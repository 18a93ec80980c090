"""Texts that somebody else chose, for a terminal: what it could obey is shown instead. Pure."""


def printable(text: object) -> str:
    """Return a text on one line, with control, format and separator characters escaped as in ``\\x1b``."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
