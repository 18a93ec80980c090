"""What people write into a release: who, and why. Both are signed, and become trailers of a ledger commit."""

import getpass
import unicodedata
from collections.abc import Mapping

import pygit2

from policy_core.errors import UsageError
from policy_core.trust.release import MAX_TEXT_CHARS, is_plain_text

ACTOR_VARIABLE = "WRIT_ACTOR"


def check_reason(reason: str) -> str:
    """Return the reason without surrounding blanks; raises UsageError if it is empty or not plain text."""
    if not reason.strip():
        raise UsageError("reason: is empty", hint="say why in one line: --reason 'denies restarts in staging'")
    return _check("reason", reason.strip())


def find_actor(git: pygit2.Repository, environment: Mapping[str, str]) -> str:
    """Return who publishes: ``WRIT_ACTOR``, else the git identity here, else the login name, else *unknown*.

    ``WRIT_ACTOR`` is refused if it is not plain text (UsageError); what git or the system say is spelled in ASCII.
    """
    given = environment.get(ACTOR_VARIABLE, "").strip()
    if given:
        return _check(ACTOR_VARIABLE, given)
    try:
        identity = git.default_signature
    except (KeyError, ValueError, pygit2.GitError):
        return _login_name()
    return spell_ascii(f"{identity.name} <{identity.email}>")


def _check(what: str, text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise UsageError(f"{what}: {len(text)} characters (limit {MAX_TEXT_CHARS})")
    if not is_plain_text(text):
        place = next(position for position, character in enumerate(text) if not is_plain_text(character))
        raise UsageError(
            f"{what}: character {place + 1} is {text[place]!a} (expected one line of printable ASCII)",
            hint="it is signed and becomes a trailer in git: write it on one line, without accents",
        )
    return text


def _login_name() -> str:
    try:
        return spell_ascii(getpass.getuser())
    except (KeyError, OSError, ImportError):  # an account without a name, as containers have them
        return "unknown"


def spell_ascii(text: str) -> str:
    """Spell a name in printable ASCII: accents are dropped, what has no such spelling becomes ``?``."""
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (character for character in decomposed if not unicodedata.combining(character))
    return "".join(c if is_plain_text(c) else "?" for c in kept)[:MAX_TEXT_CHARS]
