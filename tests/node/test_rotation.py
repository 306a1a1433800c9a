"""A mesh of real nodes with more of them than seats: the committee is drawn, the others follow."""

from itertools import pairwise
from pathlib import Path

import trio

from ccp2p.client import rooms
from ccp2p.model.epoch import parse_record
from ccp2p.model.genesis import Parameters
from tests.node.stage import TIMEOUT_MS, Stage, eventually, network
from tests.node.test_epochs import join
from tests.node.test_lifecycle import ann_in_lobby, texts

SEATS = 4
PATIENCE_S = 180


def committees(stage: Stage) -> list[set[bytes]]:
    """The seats of every epoch so far, by the first node's records."""
    record = stage.hosts[0].node.setup.record
    assert record is not None
    return [{seat.node for seat in parse_record(one.record).seats} for one in record.records]


async def test_seats_change_hands_a_third_at_a_time_while_members_write(tmp_path: Path) -> None:
    parameters = Parameters(
        coin_length=1 << 14,
        min_round_delay_ms=20,
        max_round_delay_ms=100,
        committee_max=SEATS,
        rotation_interval_ms=2_000,
    )
    async with network(tmp_path, SEATS, parameters=parameters, kind="mesh") as stage:
        for number in (4, 5, 6):
            await join(stage, number)
        founders = committees(stage)[0]

        def has_rotated() -> bool:
            seen = committees(stage)
            return len(seen) > 4 and seen[-1] != founders

        written: list[str] = []
        async with stage.client() as client:  # one node, which loses its seat now and then
            ann = await ann_in_lobby(client)
            with trio.fail_after(PATIENCE_S):
                while not has_rotated():
                    await rooms.ask_post(ann, "lobby", str(len(written)), TIMEOUT_MS)
                    written.append(str(len(written)))
                    await trio.sleep(0.1)
        seen = committees(stage)
        assert {len(seats) for seats in seen} == {SEATS}
        assert max(len(after - before) for before, after in pairwise(seen)) == 1, "a third of four"
        # Who was drawn out follows, as those do who were not drawn yet.
        await eventually(
            lambda: all((host.node.epoch or 0) >= len(seen) for host in stage.hosts), PATIENCE_S
        )
        assert all(host.fault is None for host in stage.hosts)
        async with stage.client(every_node=True) as client:
            bob = await ann_in_lobby(client)
            await rooms.ask_post(bob, "lobby", "after", TIMEOUT_MS)
            assert await texts(bob) == [*written, "after"]
