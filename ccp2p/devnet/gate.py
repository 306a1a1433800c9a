"""A bound on what is under way: entering waits for a place, leaving never waits."""

import trio


class Gate:
    """Lets `width` through at a time."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._left: trio.Event | None = None

    async def enter(self) -> None:
        """Take a place, when one is free."""
        while self._free == 0:
            self._left = self._left or trio.Event()
            await self._left.wait()
        self._free -= 1

    def leave(self) -> None:
        """Give a place back."""
        self._free += 1
        if self._left is not None:
            self._left.set()
            self._left = None
