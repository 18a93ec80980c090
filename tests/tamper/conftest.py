"""What is attacked: made once by each worker, copied for each test."""

from pathlib import Path

import pytest
from tamper.scene import Honest, Scene, make_honest


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return make_honest(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def scene(honest: Honest, tmp_path: Path) -> Scene:
    return Scene.copied(honest, tmp_path)
