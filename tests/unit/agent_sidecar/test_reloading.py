"""Reloading: what may change does, what may not is named, and a mistake changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_sidecar.configuration import SETTINGS, Configuration, read_configuration
from agent_sidecar.reloading import Reloader

LIVE = [each.field for each in SETTINGS if each.live]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(
        store="file:///p", channel="prod", trusted_root=b"{}", state=tmp_path, socket=tmp_path / "d.sock"
    )


def fields(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    return {record.getMessage(): vars(record)["fields"] for record in caplog.records}


def reloader(configuration: Configuration, applied: dict[str, Any], **more: Callable[[], Configuration]) -> Reloader:
    appliers = {name: lambda value, name=name: applied.update({name: value}) for name in LIVE}
    return Reloader(configuration, read=more.get("read", lambda: configuration), appliers=appliers)


def test_only_what_has_changed_takes_effect(configuration: Configuration, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "agent_sidecar")
    applied: dict[str, Any] = {}

    reloader(configuration, applied).apply(replace(configuration, poll_s=5.0))

    assert applied == {"poll_s": 5.0}
    assert fields(caplog) == {"reloaded": {"changed": ["poll"]}}


def test_what_needs_a_restart_is_named_until_it_comes(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    applied: dict[str, Any] = {}
    ours = reloader(configuration, applied)
    wanted = replace(configuration, poll_s=5.0, channel="staging", min_release=3)

    ours.apply(wanted)
    caplog.clear()
    applied.clear()
    ours.apply(wanted)

    assert applied == {}
    assert fields(caplog)["restart_needed"]["settings"] == ["channel", "min_release"]


def test_a_configuration_with_mistakes_changes_nothing_and_tells_all_of_them(
    configuration: Configuration, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "s.toml").write_text('poll = "fast"\nchanel = "x"\n')

    found = reloader(configuration, {}, read=lambda: read_configuration(tmp_path / "s.toml", {})).read()

    assert found is None
    mistakes = " ".join(fields(caplog)["reload_refused"]["mistakes"])
    assert "poll: not a duration" in mistakes
    assert "chanel is not a setting" in mistakes


def test_a_live_setting_that_nothing_applies_is_a_bug(configuration: Configuration) -> None:
    with pytest.raises(TypeError, match="every live setting"):
        Reloader(configuration, read=lambda: configuration, appliers={})
