"""Copies of folders in a server that speaks S3; needs `pip install 's3fs' 'moto[server]'`."""

import pytest

from peftsearch.errors import StorageError
from peftsearch.mirror import Mirror

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch) -> str:
    """The URL of an empty bucket of a server on this machine."""
    pytest.importorskip("s3fs")
    moto, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "a",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket"
    server.stop()


def test_what_one_machine_sends_another_fetches(tmp_path, bucket):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "run" / "adapter").mkdir(parents=True)
    for name in ("results.json", "failed.json", "adapter/weights"):
        (here / "run" / name).write_text(name)
    mirror = Mirror(here, f"{bucket}/comparison")
    assert mirror.names() == []
    mirror.send()
    (here / "run" / "failed.json").unlink()
    mirror.send("run")
    Mirror(there, f"{bucket}/comparison").fetch("run")
    found = {path.relative_to(there).as_posix(): path.read_text() for path in there.rglob("*") if path.is_file()}
    assert found == {"run/results.json": "results.json", "run/adapter/weights": "adapter/weights"}


def test_a_bucket_that_is_not_there_is_named(tmp_path, bucket):
    with pytest.raises(StorageError, match="Cannot read 's3://nowhere/x'"):
        Mirror(tmp_path, "s3://nowhere/x").fetch()
