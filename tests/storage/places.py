"""Storages to test on: memory, a directory, and a real S3 server on loopback, if moto is there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from marl_llm.storage import RunAddress


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """URL of moto's S3 server, without a bucket."""
    reason = "the S3 tests need moto and s3fs (extra dev)"
    pytest.importorskip("s3fs", reason=reason)
    server = pytest.importorskip("moto.server", reason=reason)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket on that server, which this process's environment leads to."""
    import fsspec

    for name, value in {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    fsspec.filesystem("s3").mkdir(name)
    return name


@pytest.fixture
def new_client(bucket: str) -> Iterator[str]:
    """The bucket, for a client that looks at the environment again."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield bucket
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["memory", "file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> RunAddress:
    """A place for a run where nothing is yet."""
    url = {
        "memory": lambda: f"memory://{uuid.uuid4().hex}/run",
        "file": lambda: f"file://{tmp_path}/shared/run",
        "s3": lambda: f"s3://{request.getfixturevalue('bucket')}/runs/run",
    }[request.param]()
    found = RunAddress.parse(url)
    assert found is not None
    return found
