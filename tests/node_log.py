"""What stands in a node's log: that others may come, and what nobody expected."""

import re

import trio

from ccp2p.devnet.process import NodeProcess

_PATIENCE_S = 30
_UNEXPECTED = re.compile(r"Traceback|it failed: |failed +error=")


def unexpected_lines(log: str) -> list[str]:
    """The lines that tell of an error which is no fault."""
    return [line for line in log.splitlines() if _UNEXPECTED.search(line)]


async def until_founders_may_come(node: NodeProcess) -> None:
    """Wait until a first node listens, and says how many founders are here."""
    with trio.fail_after(_PATIENCE_S):
        while "founders is here" not in node.log_path.read_text():
            await trio.sleep(0.05)
