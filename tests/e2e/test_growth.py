"""A group of real processes grows from one node to ten, and becomes one again."""

from pathlib import Path

import pytest
import trio

from tests.e2e.life import Life, resident_of
from tests.node_log import unexpected_lines


@pytest.mark.timeout(300)
async def test_a_group_grows_to_ten_and_shrinks_to_one(tmp_path: Path):
    async with trio.open_nursery() as nursery:
        life = Life(nursery, tmp_path)
        await life.found(most=10)
        async with resident_of(life) as resident:
            for count in (1, 2, 6):
                await life.grow(count)
                await resident.goes_on()
            assert len(life.live()) == 10
            for leavers in ((4, 5, 6, 7, 8, 9), (2, 3), (1,)):
                await life.leave(*leavers)
                await resident.goes_on()
            await resident.ends()
            (last,) = life.live()
            told = [str(number) for number in range(len(resident.said))]
            assert await life.texts(resident.session, last) == told
        nursery.cancel_scope.cancel()
    for node in life.nodes:
        log = node.log_path.read_text()
        assert "at fault" not in log
        assert not unexpected_lines(log)
