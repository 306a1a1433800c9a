"""The check behind the agreement tests: one DAG, many orders of delivery, one sequence."""

from collections.abc import Iterable

from ccp2p.consensus.messages import BlocksReceived
from ccp2p.model.block import VerifiedBlock
from ccp2p.model.commit import Commit
from ccp2p.model.genesis import Parameters
from tests.consensus.generator import RandomDag
from tests.consensus.world import START_MS, consensus_of


def commits_of(
    dag: RandomDag, order: Iterable[VerifiedBlock], parameters: Parameters | None = None
) -> list[Commit]:
    """What a node commits that is shown `order` block by block, and is sent what it asks for."""
    core = consensus_of(dag.size, -1, parameters, may_propose=False)
    commits: list[Commit] = []
    for block in order:
        output = core.handle(BlocksReceived(None, (block,)), START_MS)
        commits.extend(one.commit for one in output.commits)
        while output.fetch:
            wanted = (one for fetch in output.fetch for one in fetch.references)
            answer = tuple(dag.find(reference) for reference in wanted)
            output = core.handle(BlocksReceived(None, answer, solicited=True), START_MS)
            commits.extend(one.commit for one in output.commits)
        assert output.faults == ()
    assert core.suspended == 0
    return commits


def disagreement(dag: RandomDag, parameters: Parameters | None = None) -> str | None:
    """How two nodes came to commit differently, or None.

    Not all nodes keep an equivocator's third block of a slot, so one may be behind another.
    """
    sequences = [commits_of(dag, order, parameters) for order in dag.orders()]
    longest = max(sequences, key=len)
    for sequence in sequences:
        same = [a == b for a, b in zip(longest, sequence, strict=False)]
        if not all(same):
            return f"commit {same.index(False) + 1} differs"
    return None
