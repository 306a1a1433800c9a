"""Arena: the results of one batch call in one buffer.

Creating a bytes object a result costs more than the cipher does, so a batch yields one buffer and
says where each item lies. Items become bytes only where they are asked for.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arena:
    """Item i is `buffer[offsets[i] : offsets[i] + lengths[i]]`; a failed item has length -1.

    `offsets` and `lengths` are `array("q")` of one size, in bytes.
    """

    buffer: bytes
    offsets: "array[int]"
    lengths: "array[int]"

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> bytes | None:
        """The item as bytes, or None when it failed."""
        length = self.lengths[index]
        if length < 0:
            return None
        start = self.offsets[index]
        return self.buffer[start : start + length]

    def __iter__(self) -> Iterator[bytes | None]:
        return (self[index] for index in range(len(self)))
