"""Tokens: by name, moved to and from without a restart, and gone with their file."""

import os
from pathlib import Path

import pytest

from agent_sidecar.access.tokens import TokenFile, Tokens, digest_of, token_files, tokens_in

OLD, NEW = "the-old-token-of-16", "the-new-token-of-16"


def write(file: Path, *lines: str, mode: int = 0o600) -> Path:
    file.touch()
    file.chmod(mode)
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def name(tokens: Tokens, token: str) -> str:
    found = tokens.caller(digest_of(b"Bearer " + token.encode()))
    return found.name if found else ""


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    files = [TokenFile(each, write(tmp_path / each, f"token-of-the-{each}-team")) for each in ("ci", "web")]
    return Tokens(files)


def test_a_token_is_known_by_its_name(tokens: Tokens) -> None:
    assert name(tokens, "token-of-the-ci-team") == "token ci"
    assert name(tokens, "token-of-the-web-team") == "token web"


@pytest.mark.parametrize(
    "shown",
    [b"", b"Bearer", b"Bearer ", b"token-of-the-ci-team", b"bearer token-of-the-ci-team",
     b"Bearer  token-of-the-ci-team", b"Bearer token-of-the-ci-tea", b"Bearer token-of-the-ci-team ",
     b"Basic token-of-the-ci-team", b"\xff" * 5000],
)  # fmt: skip
def test_what_is_no_token_is_nobody(tokens: Tokens, shown: bytes) -> None:
    assert tokens.caller(digest_of(shown)) is None


def test_every_token_is_compared_whichever_fits(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("agent_sidecar.access.tokens.compare_digest", compare)
    for shown in (b"Bearer token-of-the-ci-team", b"Bearer token-of-the-web-team", b"Bearer none"):
        compared.clear()
        tokens.caller(digest_of(shown))
        assert [len(each) for each in compared] == [32, 32]


def test_old_and_new_count_together_until_the_old_one_is_taken_out(tmp_path: Path) -> None:
    file = write(tmp_path / "token", OLD)
    tokens = Tokens([TokenFile("ci", file)])

    write(file, OLD, NEW)
    tokens.refresh()
    assert (name(tokens, OLD), name(tokens, NEW)) == ("token ci", "token ci")
    write(file, NEW)
    tokens.refresh()
    assert (name(tokens, OLD), name(tokens, NEW)) == ("", "token ci")


def test_a_file_moved_into_place_is_noticed_though_its_size_and_time_are_the_same(tmp_path: Path) -> None:
    file, other = write(tmp_path / "token", OLD), write(tmp_path / "next", NEW)
    for each in (file, other):
        os.utime(each, ns=(10**18, 10**18))
    tokens = Tokens([TokenFile("ci", file)])

    other.replace(file)
    tokens.refresh()

    assert (name(tokens, OLD), name(tokens, NEW)) == ("", "token ci")


@pytest.mark.parametrize("harm", ["gone", "empty", "short", "open"])
def test_a_token_whose_file_cannot_be_believed_is_revoked_and_the_others_stay(tmp_path: Path, harm: str) -> None:
    file, other = write(tmp_path / "token", OLD), write(tmp_path / "other", NEW)
    tokens = Tokens([TokenFile("ci", file), TokenFile("web", other)])

    if harm == "gone":
        file.unlink()
    elif harm == "open":
        file.chmod(0o644)
    else:
        write(file, *(["short"] if harm == "short" else []))
    tokens.refresh()

    assert (name(tokens, OLD), name(tokens, NEW)) == ("", "token web")
    assert set(tokens.problems) == {"ci"}
    write(file, OLD)
    file.chmod(0o600)
    tokens.refresh()
    assert (name(tokens, OLD), tokens.problems) == ("token ci", {})


def test_files_that_have_not_changed_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens([TokenFile("ci", write(tmp_path / "token", OLD))])
    monkeypatch.setattr(tokens, "reload", lambda: pytest.fail("read again"))

    tokens.refresh()


def test_a_file_holds_a_few_tokens_at_most(tmp_path: Path) -> None:
    assert len(tokens_in(write(tmp_path / "token", *[f"token-number-{each:06}" for each in range(8)]))) == 8
    with pytest.raises(ValueError, match="holds no token"):
        tokens_in(write(tmp_path / "token", *[f"token-number-{each:06}" for each in range(9)]))


def test_mistakes_in_tables_of_tokens_are_told_together(tmp_path: Path) -> None:
    good = write(tmp_path / "good", OLD)
    with pytest.raises(ValueError, match="twice") as caught:
        token_files([
            {"name": "ci", "file": good}, {"name": "ci", "file": good}, {"name": "Web", "file": good}, {"name": "a"},
            {"name": "b", "file": tmp_path / "none"},
        ])  # fmt: skip

    for mistake in ("3: name: is not a name", "4: file is missing", "5: ", "cannot be read", "ci: occurs twice"):
        assert mistake in str(caught.value)


def test_one_token_is_not_two_callers(tmp_path: Path) -> None:
    files = [TokenFile(each, write(tmp_path / each, OLD)) for each in ("ci", "web")]

    tokens = Tokens(files)

    assert name(tokens, OLD) == "token ci"
    assert "holds what is token ci" in tokens.problems["web"]
