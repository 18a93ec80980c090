"""The commands of pages that are walked through run, in order, in one shell, and print what the page says."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kms
import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "tutorial/first-policy.md": 8,
    "how-to/act-in-an-emergency.md": 7,
    "how-to/move-to-production-keys.md": 8,
    "how-to/promote-with-two-people.md": 6,
    "how-to/runbook-leaked-key.md": 7,
    "how-to/runbook-lost-bucket.md": 4,
    "how-to/runbook-lost-keys.md": 2,
}
"""Each page, and in how many places at least it shows what is printed."""
SIGNED = ("ROOT", "TARGETS", "PROD", "PROD_ONCALL")
PASSPHRASES = dict.fromkeys(("PASSPHRASE", *(f"WRIT_PASSPHRASE_{role}" for role in SIGNED)), "correct horse")
"""What a person would be asked for."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "~~~~ end of block"


def steps(page: str) -> list[tuple[str, list[str]]]:
    """Return each block of commands with the lines it is said to print (… stands for anything)."""
    found: list[tuple[str, list[str]]] = []
    for language, content in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if language == "sh":
            found.append((content, []))
        else:
            assert language == "text", language
            found[-1][1].extend(content.splitlines())
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path: a Unix socket has room for about a hundred bytes."""
    path = Path(tempfile.mkdtemp(prefix="writ-doc-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def _keys_of_services(page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the keys in AWS KMS that a page names."""
    aliases = set(re.findall(r"awskms:alias/([\w-]+)", (DOCS / page).read_text(encoding="utf-8")))
    if aliases:
        request.getfixturevalue("aws")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        kms.sign_digests(monkeypatch)
        for alias in aliases:
            kms.make_key(alias)


@pytest.mark.usefixtures("_keys_of_services")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_run_and_print_what_the_page_says(page: str, folder: Path) -> None:
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    script += "".join(f"{commands}echo '{MARK}'\n" for commands, _ in steps(page))
    (folder / "home").mkdir()
    (folder / "work").mkdir()
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "EMAIL": "ada@tutorial.invalid",
        **PASSPHRASES,
    }

    done = subprocess.run(
        ["bash", "-c", script], cwd=folder / "work", env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=240,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    outputs = done.stdout.split(f"{MARK}\n")
    for (commands, expected), output in zip(steps(page), outputs, strict=False):
        for line in expected:
            pattern = "^" + ".*".join(map(re.escape, line.split("…"))) + "$"
            assert re.search(pattern, output, re.MULTILINE), f"{commands}\ndid not print: {line}\nbut:\n{output}"


@pytest.mark.parametrize(("page", "places"), PAGES.items())
def test_the_page_shows_what_is_printed(page: str, places: int) -> None:
    assert sum(1 for _, expected in steps(page) if expected) >= places
