"""What a member may hand to a session."""

from pathlib import Path

import pytest

from ccp2p.client import rooms
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.model.errors import MemberFault
from tests.node.stage import TIMEOUT_MS, network


async def test_what_is_too_large_to_send_takes_no_number_from_what_follows(tmp_path: Path):
    async with network(tmp_path, 1) as stage, stage.client() as client:
        ann = client.session(SigningKey(b"a" * 32))
        await ann.open(TIMEOUT_MS)
        await ann.submit(rooms.create("lobby", False, "ann"), TIMEOUT_MS)
        for _ in range(2):
            with pytest.raises(MemberFault, match="the limit is"):
                ann.post(rooms.post("lobby", "x" * limits.MAX_EVENT_BYTES), lambda _: None)
        assert await rooms.ask_post(ann, "lobby", "shorter", TIMEOUT_MS) == 0
