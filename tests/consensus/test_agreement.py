"""Two honest nodes never commit differently, whatever order they see a hostile DAG in."""

import pytest

from ccp2p.consensus.decide import Slot
from ccp2p.consensus.index import Index
from ccp2p.consensus.vertex import Vertex
from ccp2p.model.genesis import Parameters
from tests.consensus.agreement import commits_of, disagreement
from tests.consensus.generator import RandomDag
from tests.consensus.world import COIN, committee_of

PLAIN = Parameters(coin_length=COIN.length, commit_waves=(5,))
FEW_SLOTS = Parameters(coin_length=COIN.length, slots_per_round=2)


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_four_nodes_with_one_equivocator_agree(first: int) -> None:
    for seed in range(first, first + 100):
        assert disagreement(RandomDag(seed, 4, 12, 1)) is None, f"seed {seed}"


@pytest.mark.parametrize(
    ("size", "faulty", "seeds"), [(1, 0, 5), (2, 0, 20), (3, 0, 20), (5, 1, 60), (7, 2, 40)]
)
def test_other_committees_agree(size: int, faulty: int, seeds: int) -> None:
    for seed in range(seeds):
        assert disagreement(RandomDag(seed, size, 12, faulty)) is None, f"seed {seed}"


@pytest.mark.parametrize("parameters", [PLAIN, FEW_SLOTS], ids=("plain waves", "two slots"))
def test_other_parameters_agree(parameters: Parameters) -> None:
    for seed in range(1000, 1060):
        assert disagreement(RandomDag(seed, 4, 12, 1), parameters) is None, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 11_000, 100))
def test_many_more_hostile_dags_agree(first: int) -> None:
    for seed in range(first, first + 100):
        assert disagreement(RandomDag(seed, 4, 12, 1)) is None, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 250, 50))
def test_many_more_hostile_dags_of_seven_agree(first: int) -> None:
    for seed in range(first, first + 50):
        assert disagreement(RandomDag(seed, 7, 11, 2)) is None, f"seed {seed}"


def test_hostile_dags_do_commit() -> None:
    """Guards the tests above: agreement on nothing would prove nothing."""
    dags = [RandomDag(seed, 4, 12, 1) for seed in range(40)]
    lengths = [len(commits_of(dag, dag.blocks)) for dag in dags]
    assert sum(lengths) / len(lengths) > 8
    assert sum(length > 0 for length in lengths) > 20


def test_at_most_one_block_of_a_slot_is_ever_certified() -> None:
    for seed in range(150):
        dag = RandomDag(seed, 4, 12, 1)
        index = Index(4, committee_of(4).quorum, (4, 5))
        certified: dict[Slot, Vertex] = {}
        for block in dag.blocks:
            vertex = index.add(block)
            for wave, vector in vertex.certificates.items():
                for author, found in enumerate(vector):
                    slot = Slot(vertex.round - wave + 1, author)
                    if found is not None:
                        assert certified.setdefault(slot, found) is found, f"seed {seed}"
