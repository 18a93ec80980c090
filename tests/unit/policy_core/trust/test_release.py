from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import TargetFile

from policy_core.errors import KnownError
from policy_core.trust.errors import MetadataError
from policy_core.trust.layout import ChannelNameError, check_channel, format_time, parse_time
from policy_core.trust.release import MAX_INTEGER, Release, is_plain_text

_PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=500)


def test_a_release_survives_its_target(release_of: Any) -> None:
    release = release_of(3, action="rollback", reason="too strict")

    assert Release.from_target("prod", release.target()) == release


def test_a_release_names_its_provenance_and_one_without_stays_as_it_was(release_of: Any) -> None:
    release = release_of(provenance_sha256="e" * 64)

    assert Release.from_target("prod", release.target()) == release
    assert "provenance_sha256" not in release_of().custom()


@given(reason=_PLAIN, actor=_PLAIN, number=st.integers(1, MAX_INTEGER))
def test_decoding_inverts_encoding(reason: str, actor: str, number: int) -> None:
    release = Release(
        channel="prod", release=number, revision="a" * 40, action="publish", reason=reason, actor=actor, name="demo",
        sha256="b" * 64, length=1, content_sha256="c" * 64, policy_sha256="d" * 64,
    )  # fmt: skip

    assert Release.from_target("prod", TargetFile.from_dict(release.target().to_dict(), release.path)) == release


@given(st.text(min_size=1))
def test_plain_text_never_holds_a_line_break_or_control_character(text: str) -> None:
    if is_plain_text(text):
        assert text.isascii()
        assert text.isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"release": 0},
        {"release": -1},
        {"release": 2**53},
        {"release": 1.0},
        {"release": True},
        {"length": -1},
        {"revision": "HEAD"},
        {"revision": "A" * 40},
        {"action": "Publish"},
        {"action": ""},
        {"reason": "two\nlines"},
        {"reason": "ä"},
        {"reason": None},
        {"reason": "x" * 501},
        {"actor": "a\r"},
        {"actor": "\x7f"},
        {"name": "../x"},
        {"name": ""},
        {"sha256": "b" * 63},
        {"content_sha256": "B" * 64},
        {"policy_sha256": None},
        {"provenance_sha256": None},
        {"provenance_sha256": "e" * 63},
    ],
    ids=str,
)
def test_a_value_that_is_not_of_its_form_cannot_be_built(release_of: Any, changes: dict[str, Any]) -> None:
    (field,) = changes

    with pytest.raises(MetadataError, match=f"bad {field}"):
        release_of(**({"number": 1} | changes))


def target(release: Release, custom: object, path: str = "prod/demo.tar.gz") -> TargetFile:
    return TargetFile(release.length, {"sha256": release.sha256}, path, {"custom": custom})


def test_unknown_keys_are_ignored(release_of: Any) -> None:
    release = release_of()

    assert Release.from_target("prod", target(release, release.custom() | {"later": 1})) == release


@pytest.mark.parametrize("custom", [None, [], "x", {}, {"schema": 2}, {"schema": 1}])
def test_a_target_that_is_no_release_is_refused(release_of: Any, custom: object) -> None:
    with pytest.raises(MetadataError):
        Release.from_target("prod", target(release_of(), custom))


@pytest.mark.parametrize(
    "path", ["staging/demo.tar.gz", "prod/demo.zip", "prod/a/b.tar.gz", "demo.tar.gz", "prod/.tar.gz"]
)
def test_a_path_of_another_form_is_refused(release_of: Any, path: str) -> None:
    release = release_of()

    with pytest.raises(MetadataError):
        Release.from_target("prod", target(release, release.custom(), path))


def test_a_target_without_sha256_is_refused(release_of: Any) -> None:
    release = release_of()
    weak = TargetFile(1, {"md5": "0" * 32}, release.path, {"custom": release.custom()})

    with pytest.raises(MetadataError, match="bad sha256"):
        Release.from_target("prod", weak)


@pytest.mark.parametrize(
    "name",
    ["", "Prod", "1prod", "-prod", "pr od", "prod/x", "prod.eu", "root", "prod-oncall", "targets", "a" * 41, "prod\n"],
)
def test_a_name_that_could_mean_something_else_is_no_channel(name: str) -> None:
    with pytest.raises(ChannelNameError):
        check_channel(name)


@pytest.mark.parametrize("name", ["prod", "prod-eu-1", "a", "a" * 40])
def test_a_channel_name(name: str) -> None:
    assert check_channel(name) == name


def test_times_survive_their_spelling() -> None:
    assert format_time(parse_time("2026-03-01T12:00:00Z")) == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("text", [None, 1, "", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00:00+01:00", "x"])
def test_a_time_of_another_form_is_refused(text: object) -> None:
    with pytest.raises(KnownError):
        parse_time(text)
