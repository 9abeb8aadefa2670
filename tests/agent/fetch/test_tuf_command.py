"""`limosa-agent tuf`, as the conformance suite calls it (trust 3.6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from limosa_agent.fetch.tuf_command import tuf
from tests.agent.fetch.world import World
from tests.support.hostile_server import bit_flipped


class Client:
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(tuf, ["--metadata-dir", str(self.metadata), *words])

    def init(self) -> Result:
        return self.run("init", str(self.world.state.root))

    def refresh(self) -> Result:
        return self.run("--metadata-url", f"{self.world.server.url}/tuf/metadata", "refresh")

    def download(self, name: str) -> Result:
        return self.run(
            *("--metadata-url", f"{self.world.server.url}/tuf/metadata", "--target-name", name),
            *("--target-base-url", f"{self.world.server.url}/tuf/targets"),
            *("--target-dir", str(self.targets), "download"),
        )


@pytest.fixture
def client(world: World, tmp_path: Path) -> Client:
    return Client(world, tmp_path / "client")


def test_metadata_is_kept_byte_for_byte_under_unversioned_names(client: Client) -> None:
    assert client.init().exit_code == 0
    assert client.refresh().exit_code == 0
    served = client.world.server.files
    assert (client.metadata / "timestamp.json").read_bytes() == served["/tuf/metadata/timestamp.json"]
    assert (client.metadata / "root.json").read_bytes() == served["/tuf/metadata/1.root.json"]
    assert {path.name for path in client.metadata.glob("*.json")} == {
        "root.json", "timestamp.json", "snapshot.json", "targets.json",
    }  # fmt: skip


def test_a_target_is_downloaded_once(client: Client) -> None:
    one = client.world.publish("1.0.0")
    client.init()
    for _ in range(2):
        assert client.download(one.name.target_path).exit_code == 0
    assert len(client.world.server.asked_for("index.json")) == 1
    (file,) = client.targets.iterdir()
    assert file.name == "demo%2Fmotion%2F1.0.0%2Findex.json"


def test_a_changed_or_unknown_target_is_refused_and_not_kept(client: Client) -> None:
    one = client.world.publish("1.0.0")
    client.init()
    client.world.server.tricks["index.json"] = bit_flipped
    refused = client.download(one.name.target_path)
    assert refused.exit_code == 1
    assert "error[LM-582]" in refused.stderr
    assert not (client.targets / "demo%2Fmotion%2F1.0.0%2Findex.json").exists()
    assert client.download("demo/motion/9.9.9/index.json").exit_code == 1


def test_what_is_no_root_is_not_trusted(client: Client, tmp_path: Path) -> None:
    for data in (b"{}", b"rubbish", client.world.server.files["/tuf/metadata/timestamp.json"]):
        wrong = tmp_path / "wrong.json"
        wrong.write_bytes(data)
        assert client.run("init", str(wrong)).exit_code == 1
    assert not (client.metadata / "root.json").exists()


def test_before_init_nothing_is_refreshed(client: Client) -> None:
    refused = client.refresh()
    assert refused.exit_code == 1
    assert client.world.server.asked == []
    client.init()
    assert client.run("refresh").exit_code == 1
