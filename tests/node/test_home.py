from pathlib import Path

import pytest

from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.model.errors import LocalFault
from ccp2p.node.home import Listen, NodeHome


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    return NodeHome(tmp_path / "node")


def test_a_founder_that_signed_one_record_signs_no_other(home: NodeHome):
    home.mark_signed(b"n" * 32, b"d" * 32)
    home.mark_signed(b"n" * 32, b"d" * 32)
    with pytest.raises(LocalFault, match="already signed another founding") as caught:
        NodeHome(home.directory).mark_signed(b"n" * 32, b"e" * 32)
    assert caught.value.code == "founding"
    NodeHome(home.directory).mark_signed(b"m" * 32, b"e" * 32)


def test_an_identity_is_made_once_and_found_again(home: NodeHome):
    platform = SimulatedPlatform(home.platform_directory)
    node = home.identity(platform).node
    again = NodeHome(home.directory)
    assert again.identity(SimulatedPlatform(again.platform_directory)).node == node


def test_an_identity_moved_to_another_chip_does_not_open(home: NodeHome, tmp_path: Path):
    home.identity(SimulatedPlatform(home.platform_directory))
    with pytest.raises(LocalFault) as caught:
        home.identity(SimulatedPlatform(tmp_path / "another chip"))
    assert caught.value.code == "wrong-key"


def test_ports_are_kept_where_none_are_asked_for(home: NodeHome):
    assert home.listen(Listen()) == Listen("127.0.0.1")
    home.keep_listen(Listen("127.0.0.1", 4001, 4002))
    assert home.listen(Listen()) == Listen("127.0.0.1", 4001, 4002)
    assert home.listen(Listen("127.0.0.1", 5001, 0)) == Listen("127.0.0.1", 5001, 4002)


def test_a_damaged_listen_file_is_named_and_not_guessed(home: NodeHome):
    home.keep_listen(Listen())
    (home.directory / "listen").write_bytes(b"garbage")
    with pytest.raises(LocalFault):
        home.listen(Listen())


def test_only_the_owner_reads_a_nodes_folder(home: NodeHome):
    home.identity(SimulatedPlatform(home.platform_directory))
    home.mark_signed(b"n" * 32, b"d" * 32)
    for path in [home.directory, *home.directory.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0 or path == home.platform_directory, path


def test_networks_are_those_with_a_database(home: NodeHome):
    assert home.networks() == []
    home.store_path(b"\x01" * 32).mkdir(parents=True)
    assert home.networks() == [b"\x01" * 32]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFault, match="file") as caught:
        NodeHome(tmp_path / "file" / "node")
    assert caught.value.code == "data-folder"
