"""What stands in a node's log when something happened that nobody expected."""

import re

_UNEXPECTED = re.compile(r"Traceback|it failed: |failed +error=")


def unexpected_lines(log: str) -> list[str]:
    """The lines that tell of an error which is no fault."""
    return [line for line in log.splitlines() if _UNEXPECTED.search(line)]
