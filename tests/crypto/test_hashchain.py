"""The coin's hash chain."""

import pytest

from ccp2p.crypto import hashchain
from ccp2p.model import hashing

START = bytes(range(32))


@pytest.fixture
def chain(core, monkeypatch):
    monkeypatch.setattr(hashchain, "_core", core("hashchain"))
    return hashchain


def test_a_step_is_the_digest_in_the_coins_domain(chain):
    assert chain.walk(START, 0) == START
    assert chain.walk(START, 1) == hashing.digest(hashing.COIN, START)
    assert chain.walk(START, 3) == chain.walk(chain.walk(START, 1), 2)


def test_checkpoints_lie_on_the_walk(chain):
    values = chain.checkpoints(START, 1000, 64)
    assert values == [chain.walk(START, index * 64) for index in range(1000 // 64 + 1)]


def test_wrong_arguments_are_refused(chain):
    for start, steps in ((START[:31], 1), (START, -1)):
        with pytest.raises(ValueError, match="32 bytes"):
            chain.walk(start, steps)
    with pytest.raises(ValueError, match="positive"):
        chain.checkpoints(START, 10, 0)


def test_native_and_pure_walk_alike():
    from ccp2p.crypto import _hashchain, _hashchain_pure

    for domain in (b"", b"ccp2p.coin", b"sixteen-bytes-ok"):
        ours = _hashchain.walk(domain, START, 257)
        assert ours == _hashchain_pure.walk(domain, START, 257)
