"""Searches what hosts can see for what they must not see."""

import base64
from collections.abc import Iterable
from pathlib import Path

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing

# Shorter words turn up in random bytes by chance.
_SHORTEST_BYTES = 6


def spellings(key: bytes) -> list[bytes]:
    """A key as somebody might write it: raw, hexadecimal, base64, base32."""
    return [
        key,
        key.hex().encode(),
        key.hex().upper().encode(),
        base64.b64encode(key)[:42],
        base64.urlsafe_b64encode(key)[:42],
        base64.b32encode(key)[:51],
        base64.b32encode(key)[:51].lower(),
    ]


def words(texts: Iterable[str]) -> set[bytes]:
    """Texts as they would be found: in UTF-8, and what of them is long enough to be no chance."""
    return {text.encode() for text in texts if len(text.encode()) >= _SHORTEST_BYTES}


def member_keys(seed: bytes, nicks: Iterable[str]) -> set[bytes]:
    """The public keys of a replay's members, in every spelling, and their secret seeds."""
    seeds = [hashing.keyed(hashing.SIMULATED, seed, nick.encode()) for nick in nicks]
    publics = [SigningKey(secret).public for secret in seeds]
    return {spelling for key in [*seeds, *publics] for spelling in spellings(key)}


def found_in(folder: Path, needles: Iterable[bytes], *, besides: Iterable[Path] = ()) -> set[bytes]:
    """Which needles occur in any file below `folder`, in a name or in content."""
    files = [path for path in folder.rglob("*") if path.is_file() and path not in set(besides)]
    names = b"\n".join(str(path.relative_to(folder)).encode() for path in folder.rglob("*"))
    haystack = b"\n".join([names, *(path.read_bytes() for path in files)])
    return {needle for needle in needles if needle in haystack}
