"""The log index: the DAG's blocks and the executed events by dense number, in batch calls.

`BlockIndex(seed, capacity)` gives each block digest an id (0, 1, ... in order of appending) and
keeps its round, author and parents:

- `append(digests, rounds, authors, parent_counts, parents) -> ids`: parents first; a known digest
  keeps its id and what is known of it, an unknown parent (below the garbage collection round) is
  left out. Digests are 32 bytes each, one after another; block i has `parent_counts[i]` of
  `parents`; the numbers are `array("q")`.
- `find(digests) -> ids`, -1 where one is unknown; `digests(ids)`, `rounds(ids)`, `authors(ids)` and
  `parents(id)` read back.
- `ancestors(tip, floor, coin) -> ids`: the block `tip` and what is reached from it through blocks
  above round `floor`, in the linear order: by round, then by the digest's hash keyed with the coin.

`EventIndex(seed, capacity)` keeps where each event id (32 bytes) was executed:

- `append(commit, ids)`, commits ascending; `find(ids) -> (commits, positions)`, -1 where unknown;
  `head` chains all of it: H(head, commit, ids), from 32 zero bytes.

`seed` is 32 secret bytes that place digests in the tables, since digests can be ground. Appending
beyond `capacity`, and lengths that do not fit, are a ValueError that changes nothing; an id that no
block has is an IndexError. Both are rebuilt by appending the log again; appending in other
portions gives the same index. Single questions gain nothing over a dictionary: ask in batches.
"""

import os
from array import array
from typing import Final

from ccp2p.crypto._choice import choose, is_native
from ccp2p.model import hashing

_core = choose("log_index")

NATIVE: Final = is_native(_core)
SEED_BYTES: Final = 32
BlockIndex = _core.BlockIndex
EventIndex = _core.EventIndex


def _self_test() -> None:
    """The linear order rests on a BLAKE2b of our own: it must be hashlib's."""
    digests = [bytes([value]) * hashing.DIGEST_BYTES for value in range(9)]
    count = len(digests)
    index = BlockIndex(os.urandom(SEED_BYTES), count)
    index.append(b"".join(digests[:-1]), *(array("q", [v] * (count - 1)) for v in (1, 0, 0)), b"")
    tip = (digests[-1], array("q", [2]), array("q", [0]), array("q", [count - 1]))
    index.append(*tip, b"".join(digests[:-1]))
    for coin in (b"", bytes(32)):
        keyed = [hashing.keyed(hashing.LINEAR_ORDER, coin, digest) for digest in digests[:-1]]
        expected = sorted(range(count - 1), key=keyed.__getitem__)
        if list(index.ancestors(count - 1, 0, coin)) != [*expected, count - 1]:
            raise ImportError("the linear order fails its known-answer test")


_self_test()
