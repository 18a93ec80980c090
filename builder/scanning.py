"""Secrets that slipped into a policy repository: found by the rules of detect-secrets, before anything is published.

Only rules that know a secret by its form are used; those that guess by entropy or by a word like *password* cry wolf
over policies. They run on RE2, in time linear in the file, and nothing is asked over the network. That library is
loaded only where a file has the mark of a secret (`_MARKS`, which no secret of these rules lacks).

A message names place, kind and length, never the text. Nothing else is said of that file: other messages quote it.
"""

import functools
import gzip
import hashlib
import io
import itertools
import re
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from builder.language.codes import Code
from builder.language.nodes import Report
from builder.language.notsecrets import NotSecret
from builder.language.project import FILE
from policy_core.errors import Problem

MAX_FINDINGS = 20
"""Reported of one file."""
MAX_UNPACKED_BYTES = 64 * 2**20
"""Of a compressed corpus; what is larger is refused where it is read."""

_MARKS = (
    r"A(?:3T|BIA|CCA|KIA|SIA)[0-9A-Z]{16}",
    r"(?i:aws).{0,60}['\"][0-9a-zA-Z/+]{40}['\"]",
    r"AccountKey=",
    r"://[^\s/]+:[^\s/]+@",
    r"[MNO][a-zA-Z\d_-]{23,25}\.[a-zA-Z\d_-]{6}\.",
    r"gh[oprsu]_[A-Za-z0-9_]{36}",
    r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941",
    r"eyJ[A-Za-z0-9_=-]+\.",
    r":_authToken=",
    r"T3BlbkFJ",
    r"PRIVATE KEY|PuTTY-User-Key-File-2",
    r"pypi-AgE",
    r"SG\.[a-zA-Z0-9_-]{22}\.",
    r"(?i:xox[abposr]-\d|hooks\.slack\.com/services)",
    r"[rs]k_live_|sq0csp-",
    r"(?:AC|SK)[a-z0-9]{32}",
)
_PRIVATE_KEY = "Private Key"
"""Never taken for none: only its first line is seen, which is the same in all of them."""
_HINT = (
    "remove it and revoke it, as git keeps what was committed; if it is none, name it in writ.yaml under not_secrets"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """What looks like one: its kind, where it begins in its file, how many bytes it has."""

    kind: str
    start: int
    length: int


def note_secrets(files: Mapping[str, bytes], not_secrets: Collection[NotSecret], overall: Report) -> None:
    """Note the secrets in the files of a tree, in place of all other problems and warnings of that file.

    The trust root is left out: it holds public keys.
    """
    permitted = {entry.sha256: entry for entry in not_secrets}
    seen: set[str] = set()
    leaks: dict[str, list[Problem]] = {}
    for path, packed in files.items():
        if path.startswith("trust/"):
            continue
        content = _unpacked(path, packed)
        found = find_secrets(content)
        seen |= found.keys()
        secrets = [secret for digest, secret in found.items() if digest not in permitted or secret.kind == _PRIVATE_KEY]
        if secrets:
            secrets.sort(key=lambda secret: secret.start)
            leaks[path] = [_problem(path, content, secret) for secret in secrets[:MAX_FINDINGS]]
    for findings in (overall.problems, overall.warnings):
        findings[:] = [finding for finding in findings if finding.file not in leaks]
    overall.problems.extend(itertools.chain.from_iterable(leaks.values()))
    for digest in permitted.keys() - seen:
        message = f"not_secrets: sha256:{digest[:12]}… is in no file"
        overall.warnings.append(Problem(FILE, *permitted[digest].place, message, "remove it", Code.UNUSED_ALLOWANCE))


def find_secrets(content: bytes) -> dict[str, Secret]:
    """Return what looks like a secret in a file by SHA-256 (hex digits), each where it stands first."""
    found: dict[str, Secret] = {}
    if _marks().search(content) is not None:
        for kind, rule, is_sound in _rules():
            for match in rule.finditer(content):
                text = match.group()
                if is_sound(text):
                    found.setdefault(hashlib.sha256(text).hexdigest(), Secret(kind, match.start(), len(text)))
    return found


def _problem(path: str, content: bytes, secret: Secret) -> Problem:
    line_start = content.rfind(b"\n", 0, secret.start) + 1
    line = content.count(b"\n", 0, secret.start) + 1
    column = len(content[line_start : secret.start].decode(errors="replace")) + 1
    message = f"looks like a secret: {secret.kind} ({secret.length} bytes)"
    return Problem(path, line, column, message, _HINT, Code.LEAK)


def _unpacked(path: str, content: bytes) -> bytes:
    """Return the content of a file, of a compressed one what can be read: that it is damaged is said elsewhere."""
    if not path.endswith(".gz"):
        return content
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_UNPACKED_BYTES)
    except (OSError, EOFError, zlib.error):
        return content


@functools.cache
def _marks() -> Any:
    return _compiled("|".join(_MARKS))


@functools.cache
def _rules() -> list[tuple[str, Any, Callable[[bytes], bool]]]:
    """Return the rules of the library: kind, RE2 pattern, and what tells a false alarm from a find."""
    from detect_secrets.plugins import (
        aws,
        azure_storage_key,
        basic_auth,
        discord,
        github_token,
        gitlab_token,
        jwt,
        npm,
        openai,
        private_key,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        twilio,
    )  # fmt: skip

    detectors = (
        aws.AWSKeyDetector, azure_storage_key.AzureStorageKeyDetector, basic_auth.BasicAuthDetector,
        discord.DiscordBotTokenDetector, github_token.GitHubTokenDetector, gitlab_token.GitLabTokenDetector,
        jwt.JwtTokenDetector, npm.NpmDetector, openai.OpenAIDetector, private_key.PrivateKeyDetector,
        pypi_token.PypiTokenDetector, sendgrid.SendGridDetector, slack.SlackDetector,
        square_oauth.SquareOAuthDetector, stripe.StripeDetector, twilio.TwilioKeyDetector,
    )  # fmt: skip
    checks: dict[object, Callable[[bytes], bool]] = {
        jwt.JwtTokenDetector: lambda text: jwt.JwtTokenDetector.is_formally_valid(text.decode()),
        basic_auth.BasicAuthDetector: lambda text: b'"' not in text,  # it reached from one JSON text into the next
    }
    return [
        (detector.secret_type, _compiled(_for_re2(pattern)), checks.get(detector, lambda _: True))
        for detector in detectors
        for pattern in detector.denylist
    ]


def _for_re2(pattern: re.Pattern[str]) -> str:
    """Return a pattern of the library as RE2 takes it: without look-ahead for an end, and repetition beyond 1000."""
    flags = "(?i)" if pattern.flags & re.IGNORECASE else ""
    return flags + pattern.pattern.replace(r"(?!\w)", "").replace(",1024}", ",}")


def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # files are searched as bytes: they need not be text
    return re2.compile(pattern.encode(), options)
