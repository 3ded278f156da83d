"""A hub on this machine, and adapters to publish there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.given import make_adapters
from tests.hub.loopback_hub import LoopbackHub, loopback_hub, use


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with loopback_hub() as server:
        use(server, tmp_path / "cache", monkeypatch)
        yield server


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, Path]:
    return make_adapters(tmp_path)
