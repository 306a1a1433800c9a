"""What the command line says of a new network is what its genesis says."""

import pytest

from ccp2p.cli import node_options
from ccp2p.cli.node import node
from ccp2p.model.genesis import Parameters


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Parameters(coin_length=node_options.DEFAULT_COIN_LENGTH)),
        (
            [
                "--coin-length",
                "512",
                "--committee",
                "4",
                "--rotation-s",
                "60",
                "--subnet-seats",
                "2",
                "--round-ms",
                "250",
            ],
            Parameters(
                coin_length=512,
                min_round_delay_ms=250,
                committee_max=4,
                rotation_interval_ms=60_000,
                subnet_seats=2,
            ),
        ),
    ],
)
def test_a_new_mesh_is_what_its_founder_asked_for(arguments: list[str], expected: Parameters):
    options = node.make_context("node", ["--new", *arguments]).params
    assert node_options.founding("mesh", options, (b"g" * 32,), 1, True).parameters == expected


def test_what_a_node_may_hold_is_what_its_operator_says():
    options = node.make_context("node", ["--map-size", "64", "--cache-size", "8"]).params
    wanted = node_options.wanted(options)
    assert (wanted.map_bytes, wanted.cache_bytes) == (64 << 20, 8 << 20)
