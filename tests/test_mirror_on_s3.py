"""Copies of folders in a server that speaks S3; needs `pip install 's3fs' 'moto[server]'`."""

import pytest

from peftsearch.errors import StorageError
from peftsearch.mirror import Mirror
from peftsearch.mirror_upkeep import kept_up

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch):
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


def test_what_one_machine_sends_another_brings(tmp_path, bucket):
    here, there = (Mirror(tmp_path / name, f"{bucket}/comparison") for name in ("here", "there"))
    (here.folder / "run" / "adapter").mkdir(parents=True)
    for name in ("results.json", "failed.json", "adapter/weights"):
        (here.folder / "run" / name).write_text(name)
    assert here.names() == []
    here.below("run").send()
    (here.folder / "run" / "failed.json").unlink()
    with kept_up(here.below("run"), every=0.05):
        (here.folder / "run" / "log.jsonl").write_text("{}")
    there.below("run").bring()
    found = {str(path): (there.folder / path).read_text() for path in there.files()}
    kept = {"run/results.json": "results.json", "run/adapter/weights": "adapter/weights"}
    assert found == kept | {"run/log.jsonl": "{}"}
    assert there.below("run").stamp() == here.below("run").stamp() != ""


def test_a_bucket_that_is_not_there_is_named_and_not_made(tmp_path, bucket):
    mirror = Mirror(tmp_path, "s3://nowhere/x")
    (tmp_path / "a").write_text("a")
    with pytest.raises(StorageError, match="Cannot write 's3://nowhere/x'"):
        mirror.send()
    with pytest.raises(StorageError, match="Cannot read 's3://nowhere/x'"):
        mirror.bring()
