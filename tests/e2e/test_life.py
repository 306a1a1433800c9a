"""The life of a group, with real processes.

Found, grown, hurt, set back, left, upgraded, rid of a node, and led out of a lost majority.
"""

import shutil
from pathlib import Path

import pytest
import trio

from ccp2p.client import receipts
from tests.e2e.life import UPGRADE, Life, Resident, resident_of
from tests.node_log import unexpected_lines


@pytest.mark.timeout(300)
async def test_a_group_lives_from_its_founding_to_its_recovery(tmp_path: Path):
    async with trio.open_nursery() as nursery:
        life = Life(nursery, tmp_path)
        await life.found()
        async with resident_of(life) as resident:
            await live(life, resident)
            await resident.ends()
            await assert_one_story(life, resident)
        nursery.cancel_scope.cancel()


async def live(life: Life, resident: Resident) -> None:
    """What happens to the group."""
    for _ in range(3):
        await life.grow()
        await resident.goes_on()

    life.nodes[2].kill()
    await resident.goes_on()
    await life.come_back(2)
    life.note("killed one, and it came back")

    await life.nodes[3].stop()
    copy = life.nodes[3].directory.with_name("copy")
    await trio.to_thread.run_sync(shutil.copytree, life.nodes[3].directory, copy)
    again = await life.start(3)
    await life.votes_again(again)
    await resident.goes_on()
    reached = await life.round_of(again)
    older = await life.set_back(3, copy)
    await life.answers_nothing_old(older, resident)
    floor = await life.votes_again(older)
    assert (floor["by"], floor["round"] > reached) == ("peers", True)
    life.note("set one back within its epoch")

    await life.grow(3)
    await resident.goes_on()
    older = await life.set_back(3, copy)
    await life.answers_nothing_old(older, resident)
    assert (await life.votes_again(older))["by"] == "peers"
    life.note("set one back before its epoch")

    for number in (2, 5):
        life.nodes[number].kill()
    await resident.goes_on()
    await life.come_back(2, 5)
    life.note("killed two at once, and they came back")

    await life.leave(1, 6)
    await resident.goes_on()

    await life.upgrade(resident)
    life.note("all run the new program, and nothing else is accepted")

    evicted = life.nodes[5]
    await life.amend(resident, "evict", evicted.node.hex())
    await evicted.wait_for("stopped")
    life.note("one was evicted")

    for number in (3, 4):
        life.nodes[number].kill()
    await life.recover()
    await resident.goes_on()
    life.note("two were lost for good, and the other two go on")


async def assert_one_story(life: Life, resident: Resident) -> None:
    """What was acknowledged is what every node tells, and what the receipts prove."""
    told = [str(number) for number in range(len(resident.said))]
    for node in life.live():
        assert await life.texts(resident.session, node) == told
    network = life.ticket.network
    verified = [receipts.verify(receipt, network) for receipt in resident.receipts]
    assert all(verification.passed for verification in verified)
    epochs = {receipt.certified.checkpoint.epoch for receipt in resident.receipts}
    life.note(f"{len(told)} messages, {len(resident.receipts)} receipts, {len(epochs)} epochs")

    shown = await life.govern("net", "show")
    committee = [seat["node"] for seat in shown["committee"]]  # type: ignore[attr-defined]
    assert sorted(committee) == sorted(node.node.hex() for node in life.live())
    since = [seat["since_epoch"] for seat in shown["committee"]]  # type: ignore[attr-defined]
    # The last three came one by one or together, and so did the two who left.
    assert epochs == set(range(max(epochs) + 1))
    assert (shown["epoch"], since) == (max(epochs), [0, 2])
    checked = await life.govern("verify", "network")
    assert checked["epoch"] == max(epochs)
    rows = [(row["verified"], row["measurement"]) for row in checked["nodes"]]  # type: ignore[attr-defined]
    assert rows == [(True, UPGRADE)] * 2
    assert len(checked["amendments"]) == 3  # type: ignore[arg-type]
    assert len(checked["recoveries"]) == 1  # type: ignore[arg-type]
    for node in life.nodes:
        log = node.log_path.read_text()
        assert "equivocation" not in log
        assert "at fault" not in log
        assert not unexpected_lines(log)
