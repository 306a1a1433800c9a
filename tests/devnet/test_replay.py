from pathlib import Path

import pytest

from ccp2p.devnet.network import Plan, run_network
from ccp2p.devnet.replay import percentiles
from ccp2p.model.errors import LocalFault


def test_percentiles_are_latencies_that_were_measured():
    assert percentiles([float(n) for n in range(100, 0, -1)]) == {
        "p50": 51.0,
        "p90": 91.0,
        "p99": 100.0,
    }
    assert percentiles([7.0]) == {"p50": 7.0, "p90": 7.0, "p99": 7.0}
    assert percentiles([]) is None


async def test_a_folder_of_another_size_of_network_is_refused(tmp_path: Path):
    for number in range(3):
        (tmp_path / f"node-{number}" / "networks").mkdir(parents=True)
    with pytest.raises(LocalFault, match="a network of 3 nodes, not 4"):
        async with run_network(Plan(tmp_path, 4), lambda _: None):
            pass
