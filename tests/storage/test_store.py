"""Bundles are there whole or not at all, on storages that cannot rename."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from marl_llm.core.errors import UserError
from marl_llm.storage import Bundle, BundleStore, Draft, FileRecord, Objects, RunAddress
from marl_llm.storage import store as module
from marl_llm.storage.bundle import is_inside, unsealed

FILES = {"adapters/a-v1/weights": b"\0" * 300_000, "metrics.json": b"{}"}
DRAFT = Draft("iteration_0000/trained", tuple(FILES), about={"loss": 0.5})
MANIFEST = "published/iteration_0000/trained.json"


def machine(address: RunAddress, name: str) -> BundleStore:
    return BundleStore(Objects(address), name)


def written(root: Path, more: bytes = b"") -> Path:
    """A working copy with the files of `DRAFT`."""
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content + more)
    return root


def test_what_one_machine_publishes_another_fetches_byte_for_byte(address, tmp_path):
    published = machine(address, "a").publish(DRAFT, written(tmp_path / "a"), {})
    there = machine(address, "b")
    assert there.names() == {DRAFT.name} == there.names("iteration_0000")
    found = there.read([DRAFT.name, "start"])
    assert found == {DRAFT.name: published} and published.about == {"loss": 0.5}
    there.fetch(found.values(), tmp_path / "b")
    assert {path: (tmp_path / "b" / path).read_bytes() for path in FILES} == FILES


class Killed(BaseException):
    """What a kill would do."""


@pytest.mark.parametrize("moment", ["upload", "create"])
def test_an_upload_that_is_killed_leaves_nothing_that_is_read(
    address, tmp_path, monkeypatch, moment
):
    killed = machine(address, "a")
    upload = killed.objects.upload

    def half(files: dict[str, Path]) -> None:
        upload(dict(list(files.items())[:1]))
        raise Killed

    def none(*_: object) -> bool:
        raise Killed

    monkeypatch.setattr(killed.objects, moment, half if moment == "upload" else none)
    with pytest.raises(Killed):
        killed.publish(DRAFT, written(tmp_path / "a"), {})
    other = machine(address, "b")
    assert other.objects.names("files")  # something was uploaded
    assert other.names() == set() and other.read([DRAFT.name]) == {}
    assert machine(address, "a").publish(DRAFT, tmp_path / "a", {}).machine == "a"
    assert other.names() == {DRAFT.name}


def test_of_two_machines_the_first_to_publish_wins(address, tmp_path):
    first = machine(address, "a").publish(DRAFT, written(tmp_path / "a"), {})
    second = machine(address, "b").publish(DRAFT, written(tmp_path / "b", b"other"), {})
    assert first == second and second.machine == "a"


@pytest.mark.parametrize("address", ["file", "s3"], indirect=True)  # memory is not for threads
def test_machines_that_publish_at_the_same_moment_agree_on_one(address, tmp_path):
    stores = [machine(address, f"m{i}") for i in range(6)]
    roots = [written(tmp_path / f"m{i}", b"%d" % i) for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda i: stores[i].publish(DRAFT, roots[i], {}), range(6)))
    assert len({bundle.machine for bundle in found}) == 1
    stores[0].fetch(found[:1], tmp_path / "out")
    assert (tmp_path / "out/metrics.json").read_bytes() == b"{}" + found[0].machine[1:].encode()


@pytest.mark.parametrize("end", [0, 1, 40, -1])
def test_a_manifest_cut_short_counts_as_none_and_is_replaced(address, tmp_path, monkeypatch, end):
    monkeypatch.setattr(module, "_SETTLES_S", 0.0)
    store = machine(address, "a")
    whole = store.publish(DRAFT, written(tmp_path / "a"), {}).sealed().rstrip()
    store.objects.write(MANIFEST, whole[:end])
    assert machine(address, "b").read([DRAFT.name]) == {}
    again = machine(address, "b").publish(DRAFT, written(tmp_path / "b"), {})
    assert again.machine == "b" and store.read([DRAFT.name]) == {DRAFT.name: again}


@pytest.mark.parametrize("damage", [b"", b"{]", None])
def test_a_file_that_was_changed_or_lost_after_it_was_published_is_named(address, tmp_path, damage):
    store = machine(address, "a")
    bundle = store.publish(DRAFT, written(tmp_path / "a"), {})
    name = f"{bundle.folder}/metrics.json"
    if damage is None:
        store.objects._files.rm(store.objects._path(name))
    else:
        store.objects.write(name, damage)
    with pytest.raises(UserError, match=r"metrics\.json is not what its manifest says"):
        machine(address, "b").fetch([bundle], tmp_path / "b")


def test_the_same_content_has_the_same_digest_whoever_publishes_it(tmp_path):
    one, two = (
        machine(RunAddress(f"memory://{name}{tmp_path.name}"), name).publish(
            DRAFT, written(tmp_path / name), {}
        )
        for name in "ab"
    )
    assert one != two and one.digest == two.digest
    changed = two.model_copy(update={"needs": {"start": "00"}})
    assert changed.digest != two.digest


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/./b",
        "a//b",
        "",
        ".",
        ".lock",
        "a/.b",
        "a\\b",
        "a\0",
    ],
)
def test_a_manifest_that_names_a_file_outside_the_run_is_refused(path):
    assert not is_inside(path)
    with pytest.raises(UserError, match="lies outside the run"):
        unsealed(sealed(files={path: FileRecord(size=1, sha256="0")}), "here")
    with pytest.raises(UserError, match="lies outside the run"):
        unsealed(sealed(folder=path), "here")
    assert is_inside("iteration_0000/trajectories/part-p20.parquet")


def sealed(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "name": "start",
        "machine": "a",
        "folder": "files/start/a",
        "files": {},
        "needs": {},
        "about": {},
    }
    return Bundle(**{**values, **changes}).sealed()


def test_a_manifest_of_a_newer_version_asks_for_an_update():
    with pytest.raises(UserError, match="update marl_llm"):
        unsealed(sealed(version=2), "here")


def test_a_manifest_under_another_name_is_refused(address, tmp_path):
    store = machine(address, "a")
    content = store.publish(DRAFT, written(tmp_path / "a"), {}).sealed()
    store.objects.write("published/start.json", content)
    with pytest.raises(UserError, match="copied or renamed"):
        store.read(["start"])


def test_a_manifest_that_was_changed_counts_as_none():
    whole = sealed(files={"metrics.json": FileRecord(size=12345, sha256="0")})
    assert unsealed(whole, "here") is not None
    assert unsealed(whole.replace(b"12345", b"12346"), "here") is None


def test_bytes_that_are_no_manifest_count_as_none():
    for content in (b"", b"[]", b"null", b"\xff", b"[" * 10**5, json.dumps({"sha256": 1}).encode()):
        assert unsealed(content, "here") is None
