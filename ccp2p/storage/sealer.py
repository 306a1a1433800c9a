"""How records look on disk: values sealed, keys blinded, whole batches in one call.

Every value is bound to the network, its database and its clear key, so a record that is moved or
renamed does not open. Blinded keys show nothing but equality.
"""

from collections.abc import Iterator, Sequence

from ccp2p.crypto import aead
from ccp2p.crypto.arena import Arena
from ccp2p.model import hashing
from ccp2p.model.errors import LocalFault

_BLINDED_BYTES = 16


class Sealer:
    """The keys of one store, derived from `key` (32 bytes); `algorithm` as in `crypto.aead`.

    What does not open under `key` may open under `older`, the one before it; empty: there is none.
    """

    def __init__(self, key: bytes, network: bytes, algorithm: str, older: bytes = b"") -> None:
        self._algorithm = algorithm
        self._network = network
        self._sealing = hashing.keyed(hashing.STORAGE, key, b"seal")
        self._blinding = hashing.keyed(hashing.STORAGE, key, b"blind")
        self._older = hashing.keyed(hashing.STORAGE, older, b"seal") if older else b""

    def blind(self, database: str, clear_key: bytes) -> bytes:
        """The key on disk: 16 bytes of a PRF over network, database and clear key."""
        bound = self.bind(database, clear_key)
        return hashing.keyed(hashing.STORAGE, self._blinding, bound)[:_BLINDED_BYTES]

    def bind(self, database: str, clear_key: bytes) -> bytes:
        """The associated data of a record."""
        return b"".join((self._network, database.encode(), b"\0", clear_key))

    def seal(self, bound: Sequence[bytes], values: Sequence[bytes]) -> Iterator[memoryview]:
        """Seal `values[i]` with associated data `bound[i]`, in one call."""
        arena = aead.seal_many(self._algorithm, [self._sealing] * len(values), bound, values)
        buffer = memoryview(arena.buffer)
        for offset, length in zip(arena.offsets, arena.lengths, strict=True):
            yield buffer[offset : offset + length]

    def open(self, bound: Sequence[bytes], sealed: Sequence[bytes]) -> Iterator[bytes]:
        """The values, or LocalFault `corrupt` at the first that does not open."""
        for value in self.try_open(bound, sealed):
            if value is None:
                raise LocalFault("corrupt", "a record of the store is altered: restore or refetch")
            yield value

    def try_open(
        self, bound: Sequence[bytes], sealed: Sequence[bytes]
    ) -> Arena | list[bytes | None]:
        """The values, None where one does not open."""
        opened = self._open_under(self._sealing, bound, sealed)
        if not self._older or min(opened.lengths, default=0) >= 0:
            return opened
        values = list(opened)
        missed = [place for place, length in enumerate(opened.lengths) if length < 0]
        again = self._open_under(
            self._older, [bound[place] for place in missed], [sealed[place] for place in missed]
        )
        for place, value in zip(missed, again, strict=True):
            values[place] = value
        return values

    def open_older(
        self, bound: Sequence[bytes], sealed: Sequence[bytes]
    ) -> list[tuple[int, bytes]]:
        """Place and value of each that opens under the key before."""
        opened = self._open_under(self._older, bound, sealed)
        return [(place, value) for place, value in enumerate(opened) if value is not None]

    def _open_under(self, key: bytes, bound: Sequence[bytes], sealed: Sequence[bytes]) -> Arena:
        return aead.open_many(self._algorithm, [key] * len(sealed), bound, sealed)
