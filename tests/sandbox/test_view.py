"""What a slot sees: no data set of any package, nothing that candidates do not import, and all of
it in memory.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import pytest

from marl_llm.sandbox import Fold, Sandbox, SandboxUnavailable, Status, mirror, visible
from marl_llm.sandbox.inside.lockdown.libc import LIBC
from marl_llm.sandbox.launch import seen_inside
from marl_llm.sandbox.mirror import Home
from marl_llm.sandbox.pinned import Pinned
from tests.sandbox.support import ESTIMATOR, HONEST, failing_with

FIND_DATA = """
found = {"data": [], "packages": set()}
for top in {tops}:
    for folder, folders, names in os.walk(top):
        if os.path.basename(folder).endswith("-packages"):
            found["packages"] |= set(folders)
        found["data"] += [n for n in names if n.split(".", 1)[-1] in
                          ("csv", "csv.gz", "csv.bz2", "parquet", "arff", "npy", "data", "tsv")]
raise Exception("FOUND %d, plotly %s" % (len(found["data"]), "plotly" in found["packages"]))
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    base = tmp_path / "home"
    base.mkdir(mode=0o700)
    return Home(base, in_memory=False)


def test_no_data_set_of_any_package_can_be_seen(
    sandbox: Sandbox, open_sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    code = ESTIMATOR + FIND_DATA.replace("{tops}", "sys.path")
    assert "FOUND 0, plotly False" in failing_with(sandbox, code, noise_folds[0]).error
    many = failing_with(open_sandbox, code, noise_folds[0]).error
    assert int(many.split("FOUND ")[1].split(",")[0]) > 10


def test_every_page_of_what_is_bound_is_in_memory(sandbox: Sandbox) -> None:
    seen = seen_inside(())
    assert seen.pinned.nbytes == sum(path.stat().st_size for path in seen.files.bound) > 10**8
    assert seen.pinned.missing() == 0


def test_pages_that_the_kernel_took_away_are_brought_back(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(1 << 22))
    pinned = Pinned([file])
    pinned.locked = False  # as for a user who may not lock as much
    pinned._looked = 0.0
    _forget(file, pinned)
    if not pinned.missing():
        pytest.skip("pages of this file system cannot be taken out of memory")
    pinned.hold()
    assert pinned.missing() == 0
    _forget(file, pinned)
    missing = pinned.missing()
    pinned.hold()  # within the same second
    assert pinned.missing() == missing > 0
    pinned.close()


def _forget(file: Path, pinned: Pinned) -> None:
    for one in pinned._mappings:
        address, length = ctypes.c_void_p(one.address), ctypes.c_size_t(one.length)
        LIBC.munlock(address, length)
        LIBC.madvise(address, length, 4)  # MADV_DONTNEED: not mapped any more
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(SandboxUnavailable, match="not installed: no_such_thing; install"):
        Sandbox(packages=["no_such_thing"])


def test_a_package_that_is_asked_for_can_be_imported_and_others_cannot(
    sandbox: Sandbox, cancer_folds: list[Fold]
) -> None:
    needed = "yaml" if visible.installed(["yaml"]) else pytest.skip("yaml is not installed")
    code = f"import {needed}\n{HONEST}"
    assert "No module named" in failing_with(sandbox, code, cancer_folds[0]).error
    with Sandbox(packages=[needed]) as wider:
        assert wider.evaluate(code, cancer_folds[:1]).status is Status.ok


def test_a_mirror_is_made_once_and_again_when_a_file_changed(tmp_path: Path, home: Home) -> None:
    file, link = tmp_path / "a.py", tmp_path / "b.py"
    file.write_text("a = 1")
    link.symlink_to("a.py")
    first = mirror.make([link], ["/proc/x"], home)
    assert (first.root / str(file)[1:]).read_text() == "a = 1"
    assert (first.root / str(link)[1:]).readlink() == Path("a.py")
    assert (first.root / "proc/x").read_text() == ""
    assert mirror.make([link], ["/proc/x"], home).root == first.root
    file.write_text("a = 22")
    assert (mirror.make([link], [], home).root / str(file)[1:]).read_text() == "a = 22"


def test_large_files_are_bound_not_copied(tmp_path: Path, home: Home) -> None:
    file = tmp_path / "large.so"
    file.write_bytes(bytes(1 << 20))
    made = mirror.make([file], [], home)
    assert made.bound == (file,)
    assert (made.root / str(file)[1:]).stat().st_size == 0


def test_mirrors_that_nobody_uses_go_after_an_hour(tmp_path: Path, home: Home) -> None:
    file = tmp_path / "a.py"
    roots = []
    for text in ("1", "22", "333"):
        file.write_text(text)
        roots.append(mirror.make([file], [], home).root)
    os.close(mirror._held.pop(-2))  # the second is not in use any more
    for root in roots:
        os.utime(root.with_suffix(".lock"), (0, time.time() - 7200))
    file.write_text("4444")
    mirror.make([file], [], home)
    assert [root.exists() for root in roots] == [True, False, True]


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, home: Home) -> None:
    home.base.chmod(0o777)
    with pytest.raises(SandboxUnavailable, match="not a folder that only you can write to"):
        mirror.make([Path(__file__)], [], home)
