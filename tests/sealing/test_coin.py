from ccp2p.model import hashing
from ccp2p.sealing.coin import CoinChain


def test_every_coin_hashes_to_its_predecessor_down_to_the_anchor():
    chain = CoinChain(bytes(range(32)), 1000)
    value = chain.reveal(1000)
    assert value == bytes(range(32))
    for round in range(999, -1, -1):
        value = hashing.digest(hashing.COIN, value)
        assert chain.reveal(round) == value
    assert chain.anchor == value


def test_coins_are_the_same_in_any_order_of_asking():
    chain, other = CoinChain(b"s" * 32, 513), CoinChain(b"s" * 32, 513)
    ascending = [chain.reveal(r) for r in range(514)]
    assert [other.reveal(r) for r in reversed(range(514))] == ascending[::-1]
