"""Who looks for a mesh and hears of several."""

import time
from pathlib import Path

import trio

from ccp2p.cli.meshes import Search, _Look
from ccp2p.network.announcement import Announcement
from ccp2p.node import setup
from ccp2p.node.home import Listen
from ccp2p.node.setup import Wanted
from tests.node.stage import MIB
from tests.node.test_household import Home


def home(folder: Path) -> Home:
    return Home(Wanted(folder, Listen("127.0.0.1"), "sim-a", 64 * MIB))


async def test_meshes_heard_at_once_are_judged_one_by_one_so_that_keys_are_made_once(
    tmp_path: Path, monkeypatch
):
    judge, judging, most = setup.require_accepted, [], []

    def watched(*arguments):
        judging.append(None)
        most.append(len(judging))
        time.sleep(0.5)  # long enough for the other to be asked
        judge(*arguments)
        judging.pop()

    monkeypatch.setattr(setup, "require_accepted", watched)
    first, second = home(tmp_path / "a"), home(tmp_path / "b")
    meshes = [first.found("plaza", "mesh"), second.found("forum", "mesh")]
    newcomer = home(tmp_path / "c").wanted
    async with first.running(), second.running():
        async with trio.open_nursery() as nursery:
            look = _Look(Search(newcomer, None, "kv", None), nursery)
            for built, mesh in zip((first, second), meshes, strict=True):
                [node] = built.nodes.values()
                look.hear(
                    Announcement(
                        mesh.network,
                        mesh.genesis.name,
                        "kv",
                        True,
                        node.listener.addresses,
                        node.peers.addresses,
                    )
                )
        assert set(look.found) == {mesh.network for mesh in meshes}
        assert not look.refused
    assert most == [1, 1]
