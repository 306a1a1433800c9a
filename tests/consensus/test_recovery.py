"""After a restart at any point the sequence of commits goes on as if nothing had happened."""

import pytest

from ccp2p.consensus.core import Consensus
from ccp2p.consensus.messages import BlocksReceived, PayloadOffered, Recovered, Tick
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.commit import Commit
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import Drawing, draw, draw_stale_name, make_block
from tests.consensus.generator import RandomDag
from tests.consensus.world import COIN, START_MS, VirtualNetwork, agreed_commits, consensus_of

SHALLOW = Parameters(coin_length=COIN.length, gc_depth=10)


class Disk:
    """An observer and what it was told to persist."""

    def __init__(self, size: int, parameters: Parameters) -> None:
        self.size = size
        self.parameters = parameters
        self.log: list[VerifiedBlock] = []
        self.commits: list[Commit] = []
        self.core = self.start(None)

    def start(self, recovered: Recovered | None) -> Consensus:
        return consensus_of(self.size, -1, self.parameters, recovered, may_propose=False)

    def see(self, block: VerifiedBlock) -> None:
        self.note(self.core.handle(BlocksReceived(None, (block,)), START_MS))

    def note(self, output) -> None:
        self.log.extend(output.persist)
        self.commits.extend(one.commit for one in output.commits)

    def restart(self, lost_commits: int = 0, is_pruned: bool = False) -> None:
        """Start again from the disk; the last commits may not have reached it."""
        self.commits = self.commits[: len(self.commits) - lost_commits]
        log, commits = self.log, self.commits
        if is_pruned and commits:
            gc_round = max(0, commits[-1].leader.round - self.parameters.gc_depth)
            log = [block for block in log if block.reference.round > gc_round]
            old = [one for one in commits if one.leader.round <= gc_round]
            commits = commits[max(0, len(old) - 1) :]
        self.core = self.start(Recovered(tuple(log), tuple(commits)))
        self.note(self.core.handle(Tick(), START_MS))


def test_a_restart_at_any_block_changes_no_commit_of_an_honest_run() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 25, "ABCD")
    blocks = list(drawing.blocks.values())
    whole = Disk(4, SHALLOW)
    for block in blocks:
        whole.see(block)
    assert whole.core.gc_round > 5
    for cut in range(len(blocks)):
        disk = Disk(4, SHALLOW)
        for block in blocks[:cut]:
            disk.see(block)
        disk.restart(is_pruned=cut % 2 == 0)
        for block in blocks[cut:]:
            disk.see(block)
        assert disk.commits == whole.commits, f"cut at {cut}"


def test_a_block_admitted_before_what_it_misnames_comes_back_from_the_log() -> None:
    drawing = draw_stale_name()
    disk = Disk(4, SHALLOW)
    for name, block in drawing.blocks.items():
        if name != "D23":
            disk.see(block)
    disk.see(drawing["D23"])
    disk.log.sort(key=lambda block: block.reference)  # as a store gives them back
    disk.restart()
    assert disk.core.is_admitted(drawing["D25"].reference)


@pytest.mark.parametrize("lost_commits", [0, 1, 5])
def test_a_restart_changes_no_commit_of_a_hostile_run(lost_commits: int) -> None:
    for seed in range(25):
        dag = RandomDag(seed, 4, 24, 1)
        whole, broken = Disk(4, SHALLOW), Disk(4, SHALLOW)
        for number, block in enumerate(dag.blocks):
            whole.see(block)
            broken.see(block)
            if number % 11 == seed % 11:
                broken.restart(lost_commits, is_pruned=lost_commits == 0)
        assert broken.commits == whole.commits, f"seed {seed}"


def test_commits_that_did_not_reach_the_disk_come_again() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 8, "ABCD")
    disk = Disk(4, SHALLOW)
    for block in drawing.blocks.values():
        disk.see(block)
    before = list(disk.commits)
    disk.restart(lost_commits=3)
    assert disk.commits == before


def test_a_log_that_is_ahead_of_the_commits_is_followed_to_where_its_gc_round_was() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 39, "ABCD")
    below = [drawing[name].reference for name in drawing.expand("DABC39")[:3]]
    parents = [*below, BlockReference(27, 2, bytes(32))]
    drawing.adopt(make_block(3, 40, parents))
    drawing.full_rounds(40, 40, "ABC")
    drawing.full_rounds(41, 50, "ABCD")
    whole, broken = Disk(4, SHALLOW), Disk(4, SHALLOW)
    for number, block in enumerate(drawing.blocks.values()):
        whole.see(block)
        broken.see(block)
        if number == 4 * 44:
            assert broken.core.gc_round > 27
            broken.restart(lost_commits=30)
    assert broken.commits == whole.commits
    assert broken.core.round == whole.core.round == 51


def test_a_proposer_goes_on_from_its_own_newest_block() -> None:
    network = VirtualNetwork(4, seed=8)
    network.handle(0, PayloadOffered(envelopes=(b"event",)))
    network.run(3_000)
    newest = network.members[0].core.own_newest
    network.restart(0)
    assert network.members[0].core.own_newest == newest
    network.run(3_000)
    assert network.members[0].core.own_newest.round > newest.round
    own = [block for block in network.members[3].log if block.reference.author == 0]
    rounds = [block.reference.round for block in own]
    assert len(rounds) == len(set(rounds))
    assert all(member.core.own_newest for member in network.members)
    agreed_commits(network.members)


def test_an_own_block_below_the_gc_round_is_still_the_own_last_block() -> None:
    drawing = Drawing(4)
    drawing.draw("ABCD1:[root]")
    drawing.full_rounds(2, 30, "BCD")
    disk = Disk(4, SHALLOW)
    for block in drawing.blocks.values():
        disk.see(block)
    recovered = Recovered(tuple(disk.log), tuple(disk.commits))
    core = consensus_of(4, 0, SHALLOW, recovered)
    assert core.gc_round > 1
    (push,) = (one for one in core.handle(Tick(), START_MS).send if one.peer is None)
    assert push.blocks[0].header.parents[0] == drawing["A1"].reference


def test_a_block_persisted_but_perhaps_not_sent_is_sent_again_at_once() -> None:
    core = consensus_of(4, 0)
    output = core.handle(Tick(), START_MS)
    again = consensus_of(4, 0, recovered=Recovered(output.persist, ()))
    assert again.handle(Tick(), START_MS).send == output.send


def test_a_log_with_gaps_is_refused() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 4, "ABCD")
    blocks = tuple(block for name, block in drawing.blocks.items() if name != "B2")
    with pytest.raises(LocalFault, match="gaps"):
        consensus_of(4, 0, recovered=Recovered(blocks, ()))


def test_too_few_retained_commits_are_refused() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 25, "ABCD")
    disk = Disk(4, SHALLOW)
    for block in drawing.blocks.values():
        disk.see(block)
    with pytest.raises(LocalFault, match="commits"):
        consensus_of(4, 0, SHALLOW, Recovered(tuple(disk.log), tuple(disk.commits[-3:])))


def test_a_third_block_of_a_slot_that_was_admitted_once_is_admitted_again_from_the_log() -> None:
    drawing = draw("ABCD1:[root] C1':[root] C1'':[root] A2:[ABC1] B2:[AB1 C1' D1] D2:[AB1 C1'' D1]")
    disk = Disk(4, SHALLOW)
    for name in ("A1", "B1", "C1", "D1", "C1'", "A2", "B2", "D2", "C1''"):
        disk.see(drawing[name])
    assert disk.core.suspended == 0
    # A store gives the log back by rounds, so nothing asks for the third block before it comes.
    disk.log.sort(key=lambda block: block.reference.round)
    disk.restart()
    assert disk.core.suspended == 0
    assert all(disk.core.is_admitted(block.reference) for block in drawing.blocks.values())
