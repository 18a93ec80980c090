"""Every attack on those who publish, approve and audit: the command says so, and what hosts enforce stays."""

from pathlib import Path

import pytest
from polled_host import Host
from tamper.alarms import COMMANDS, Alarm
from tamper.attacking import Attacker
from tamper.rows import ALARMS
from tamper.scene import Scene


@pytest.mark.parametrize("row", ALARMS, ids=lambda row: row.name)
def test_an_attack_is_noticed_by_a_command(row: Alarm, scene: Scene, tmp_path: Path) -> None:
    row.given(scene)
    row.do(Attacker(scene.folder, scene.stolen(row.keys), scene=scene, host=Host(tmp_path / "host", scene)))
    timestamp = (scene.folder / "metadata/timestamp.json").read_bytes()

    with pytest.raises(row.error) as caught:
        COMMANDS[row.command](scene)

    assert type(caught.value) is row.error
    assert row.text in caught.value.message
    assert (scene.folder / "metadata/timestamp.json").read_bytes() == timestamp


@pytest.mark.parametrize("command", ["writ publish", "writ refresh", "writ verify --rebuild", "writ live --verify"])
def test_without_an_attack_a_command_says_nothing(command: str, scene: Scene) -> None:
    COMMANDS[command](scene)
