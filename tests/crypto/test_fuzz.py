"""A bounded run of every fuzz target, on the same inputs each time."""

import pytest

from tests.crypto import fuzz


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_bounded_run_finds_nothing(name):
    fuzz.run(name, seed=1, times=400)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_target_sees_through_a_twin_that_differs(name, monkeypatch):
    twin = {
        "blake2b": (fuzz._blake2b_pure, "keyed_each", lambda *_: b"never"),
        "buckets": (fuzz._buckets_pure, "digests", lambda *_: b"never"),
        "envelopes": (fuzz._envelopes_pure, "tags_of", lambda *_: [None]),
        "aead": (fuzz._aead_pure, "open_many", lambda *_: [b"never"]),
        "hashchain": (fuzz._hashchain_pure, "walk", lambda *_: b"never"),
        "signatures": (fuzz._ed25519_pure, "verify_many", lambda _: [None]),
        "index": (fuzz._log_index_pure.BlockIndex, "find", lambda *_: None),
    }[name]
    monkeypatch.setattr(*twin)
    with pytest.raises(AssertionError, match="differs on"):
        fuzz.run(name, seed=1, times=50)
