"""What goes wrong with a storage is one sentence that says what to do."""

from __future__ import annotations

import socket
import sys
from importlib import import_module

import pytest

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.storage import Objects, RunAddress


def objects(url: str) -> Objects:
    address = RunAddress.parse(url)
    assert address is not None
    return Objects(address)


def asked(files: Objects) -> str:
    """The sentence that reading and writing give."""
    with pytest.raises(UserError) as read:
        files.names("published")
    with pytest.raises(UserError) as write:
        files.create("published/start.json", b"x")
    assert "\n" not in str(read.value) and str(files.address) in str(write.value)
    return str(read.value)


def test_a_bucket_that_does_not_exist(bucket):
    assert "there is no such bucket" in asked(objects(f"s3://no-{bucket}/run"))


def test_a_bucket_without_permission(bucket, monkeypatch):
    from moto import settings

    files = objects(f"s3://{bucket}/run")
    # From here on the server asks who is asking, as S3 does.
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    assert "with these credentials" in asked(files)


def test_no_credentials(new_client, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "there are no credentials" in asked(objects(f"s3://{new_client}/run"))


def test_a_server_that_is_not_there_ends_the_command_but_is_not_the_users_mistake(
    new_client, monkeypatch
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(RunFailed, match="the same command goes on"):
        objects(f"s3://{new_client}/run").names("published")


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("s3://b/run", "s3fs", "s3"), ("gs://b/run", "gcsfs", "gcs")]
)
def test_a_package_that_is_missing_is_named_by_its_extra(url, package, extra, monkeypatch):
    known = import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, url.partition(":")[0], raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"pip install 'marl_llm\[{extra}\]'"):
        objects(url)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match=r"cannot be written|no such bucket or directory"):
        objects(f"file://{tmp_path}/run").write("published/start.json", b"x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://a/b", "there is no storage nonsense://"),
        ("s3://", "name a place behind"),
        ("sftp://me:secret@host/run", "holds a password"),
    ],
)
def test_addresses_that_name_nothing(url, words):
    with pytest.raises(UserError, match=words) as caught:
        objects(url)
    assert "secret" not in str(caught.value)
