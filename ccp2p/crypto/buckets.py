"""Encoded buckets of the state, and the tree above them, a whole batch of writes in a call.

- `fold(writes, load, placement, salt_key, epoch, commit) -> (places, buckets, digests)`: `writes`
  is `{key: value, or None to delete}`, `load(places)` gives their buckets (empty bytes: no
  entries), both keys have 32 bytes. A key's place is the first two bytes of its PRF under
  `placement`, an entry's salt the PRF of epoch, commit and key under `salt_key`. What changed comes
  back with places ascending; an emptied bucket is empty bytes, its digest zeros.
- `digests(buckets)`, one after another; `find(bucket, key)`, the value or None; `entries(bucket)`,
  all (key, value) in key order. ValueError when a bucket is malformed.
- `update_tree(levels, indices, leaves) -> root`: sets leaves (indices ascending) in four bytearrays
  of 65,536, 4,096, 256 and 16 digests, and hashes what is above; None when there are none.

The encoding is told in `_buckets_pure.py`. The native core hashes without the GIL.
"""

from typing import Final

from ccp2p.crypto._choice import choose, is_native

_core = choose("buckets")

NATIVE: Final = is_native(_core)
fold = _core.fold
digests = _core.digests
find = _core.find
entries = _core.entries
update_tree = _core.update_tree
