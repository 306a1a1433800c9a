"""Signatures that were checked once stay checked for a run, on whichever node they turn up.

A verdict depends on key, signature and message alone. Without this a world of n nodes would spend
most of its time on checking every member's event and every checkpoint vote n times.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ccp2p.crypto import signatures

_REMEMBERED = 100_000


@contextmanager
def remembered_signatures() -> Iterator[None]:
    """While this context lasts, `signatures.verify_batch` looks at each signature once."""
    honest = signatures.verify_batch
    verdicts: dict[tuple[bytes, bytes, bytes], bool] = {}

    def verify_batch(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        fresh = [item for item in dict.fromkeys(items) if item not in verdicts]
        if fresh:
            if len(verdicts) > _REMEMBERED:
                verdicts.clear()
                fresh = list(dict.fromkeys(items))
            verdicts.update(zip(fresh, honest(fresh), strict=True))
        return [verdicts[item] for item in items]

    signatures.verify_batch = verify_batch
    try:
        yield
    finally:
        signatures.verify_batch = honest
