"""What was checked or opened once stays known for a run, on whichever node it turns up.

The results depend on keys and bytes alone. Without this a world of n nodes would spend most of its
time on checking every member's event and every checkpoint vote n times.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ccp2p.crypto import hpke, signatures
from ccp2p.crypto.arena import Arena

_REMEMBERED = 100_000

_Signed = tuple[bytes, bytes, bytes]
"""Public key, signature, message."""


@contextmanager
def remembered_crypto() -> Iterator[None]:
    """While this context lasts, each signature is checked and each HPKE blob opened once."""
    honest = signatures.verify_batch, signatures.verify_arena, hpke.PrivateKey.open
    signatures.verify_batch, signatures.verify_arena = _remembering_verdicts(*honest[:2])  # type: ignore[no-untyped-call]
    hpke.PrivateKey.open = _remembering_openings(honest[2])  # type: ignore[method-assign, no-untyped-call]
    try:
        yield
    finally:
        signatures.verify_batch, signatures.verify_arena = honest[:2]
        hpke.PrivateKey.open = honest[2]  # type: ignore[method-assign]


def _remembering_verdicts(batch, arena):  # type: ignore[no-untyped-def]
    verdicts: dict[_Signed, bool] = {}

    def remember(items: Sequence[_Signed], found: Sequence[bool]) -> None:
        if len(verdicts) > _REMEMBERED:
            verdicts.clear()
        verdicts.update(zip(items, found, strict=True))

    def verify_batch(items: Sequence[_Signed]) -> list[bool]:
        found = [verdicts.get(item) for item in items]
        if None not in found:
            return found  # type: ignore[return-value]
        fresh = [item for item in dict.fromkeys(items) if item not in verdicts]
        judged = dict(zip(fresh, batch(fresh), strict=True))
        found = [judged[item] if item in judged else verdicts[item] for item in items]
        remember(fresh, list(judged.values()))
        return found  # type: ignore[return-value]

    def verify_arena(publics: bytes, proofs: bytes, messages: Arena) -> list[bool]:
        if -1 in messages.lengths:
            return arena(publics, proofs, messages)
        items: list[_Signed] = [
            (publics[32 * at : 32 * at + 32], proofs[64 * at : 64 * at + 64], message or b"")
            for at, message in enumerate(messages)
        ]
        found = [verdicts.get(item) for item in items]
        if None in found:
            found = arena(publics, proofs, messages)
            remember(items, found)
        return found  # type: ignore[return-value]

    return verify_batch, verify_arena


def _remembering_openings(honest):  # type: ignore[no-untyped-def]
    opened: dict[tuple[bytes, ...], bytes | None] = {}

    def open_once(
        self: hpke.PrivateKey, blob: bytes, info: bytes, associated: bytes = b""
    ) -> bytes | None:
        key = (self.public, blob, info, associated)
        if key not in opened:
            if len(opened) > _REMEMBERED:
                opened.clear()
            opened[key] = honest(self, blob, info, associated)
        return opened[key]

    return open_once
