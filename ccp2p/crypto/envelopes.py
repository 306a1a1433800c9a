"""A commit's envelopes to events in one call: parsing, opening, padding, tags and event ids.

- `tags_of(envelopes, epoch)`: the tag of each plain envelope of the epoch, that is a canonical one
  without an opening; None for any other bytes.
- `open_events(algorithm, network, epoch, envelopes, tag_keys, up_keys, members)`: plain envelopes,
  with the keys of the session that claims each and its member (32 bytes each). Gives columns:
  `statuses` (bytes: `GOOD`, `SEALED` does not open, `ODD` is for the caller to look at: not encoded
  as our clients do, another author's or another number's), sequence numbers, bodies, event ids and
  signatures (bytes, one after another). Signatures are not checked here; where an event is not
  good its columns are zeros and empty.

ValueError for wrong lengths or an envelope that is not plain, TypeError for anything but bytes.
"""

from typing import Final

from ccp2p.crypto._choice import choose, is_native

_core = choose("envelopes")

NATIVE: Final = is_native(_core)
GOOD: Final = 0
SEALED: Final = 1
ODD: Final = 2
tags_of = _core.tags_of
open_events = _core.open_events
