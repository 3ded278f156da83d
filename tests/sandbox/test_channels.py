"""What one fold can leave for the next one: time to read a page, time to look up a name, process
ids.

Every channel is tried in a sandbox as it is, and in one that lacks what closes the channel, where
it must work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from marl_llm.sandbox import Fold, Sandbox, Status, bubblewrap, launch, mirror, visible
from marl_llm.sandbox import view as view_module
from marl_llm.sandbox.launch import seen_inside
from marl_llm.sandbox.mirror import Home
from tests.sandbox.channels import NAMES, PAGE_CACHE, START_THREADS
from tests.sandbox.support import failing_with, noise, splits

HEARD = 0.85  # accuracy on noise that only a channel can give
CHANCE = 0.65
_BYTES = (2048 + 64) * 2 * 4096  # as many places as `PAGE_CACHE` has


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package with one large file that nobody imports."""
    folder = tmp_path_factory.mktemp("packages") / "bulky"
    folder.mkdir()
    (folder / "__init__.py").touch()
    file = folder / "bulk.so"
    file.write_bytes(os.urandom(1 << 20) * (_BYTES >> 20) + bytes(_BYTES % (1 << 20)))
    places = visible.site.getsitepackages()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visible.site, "getsitepackages", lambda: [*places, str(folder.parent)])
        yield file


@pytest.fixture(scope="module")
def closed(bulk: Path) -> Iterator[Sandbox]:
    """A sandbox as it is, that sees the large file."""
    with Sandbox(packages=("bulky",)) as isolated:
        yield isolated


@pytest.fixture(scope="module")
def leaky(bulk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The same without a mirror in memory, without pinned pages and process namespaces."""
    home = Home(tmp_path_factory.mktemp("mirrors"), in_memory=False)
    home.base.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "default_home", lambda: home)
        patch.setattr(view_module, "Pinned", _Unpinned)
        patch.setattr(launch, "view", view_module.view.__wrapped__)
        patch.setattr(bubblewrap, "_FOR_PID_NAMESPACES", "CAP_SETPCAP")
        isolated = Sandbox(packages=("bulky",))
    with isolated:
        yield isolated


class _Unpinned:
    def __init__(self, files: object) -> None:
        pass

    def hold(self) -> None:
        pass


def forget(file: Path) -> None:
    """Take a file out of the page cache."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def heard(sandbox: Sandbox, code: str, folds: list[Fold]) -> float:
    """Accuracy of what was received, on the folds after the first, whose labels nobody sent."""
    evaluation = sandbox.evaluate(code, folds, probe="never", describe=False)
    assert evaluation.status is Status.ok, evaluation.error
    labels = noise()[1]
    parts = zip(evaluation.predictions, splits(labels), strict=True)
    right = [(predicted.labels == labels[valid]).mean() for predicted, (_, valid) in parts]
    return float(np.mean(right[1:]))


def test_time_to_read_a_page_says_nothing(
    closed: Sandbox, leaky: Sandbox, bulk: Path, noise_folds: list[Fold]
) -> None:
    code = PAGE_CACHE.replace("{bulk}", str(bulk))
    assert heard(closed, code, noise_folds) < CHANCE
    pins = seen_inside(("bulky",)).pinned
    pins.close()
    forget(bulk)
    assert heard(leaky, code, noise_folds) > HEARD


def test_time_to_look_up_a_name_says_nothing(
    closed: Sandbox, leaky: Sandbox, noise_folds: list[Fold]
) -> None:
    assert heard(closed, NAMES, noise_folds) < CHANCE
    assert heard(leaky, NAMES, noise_folds) > HEARD


def test_process_ids_do_not_count_up(
    closed: Sandbox, leaky: Sandbox, noise_folds: list[Fold]
) -> None:
    def ids(sandbox: Sandbox) -> list[int]:
        errors = (
            failing_with(
                sandbox, START_THREADS.replace("{count}", str(count)), noise_folds[0]
            ).error
            for count in (30, 0)
        )
        return [int(error.split("pid ")[1].split()[0]) for error in errors]

    assert ids(closed) == [1, 1]
    first, second = ids(leaky)
    assert second - first == 31
