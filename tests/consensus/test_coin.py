"""The coin's book learns only what one hash proves, and draws the same order everywhere."""

import pytest

from ccp2p.consensus.coin import CoinBook, draw_order
from ccp2p.model.errors import LocalFault
from tests.consensus.world import ChainCoin

COIN = ChainCoin(20)


def book(delay: int = 3, slots: int = 4, coin: ChainCoin = COIN) -> CoinBook:
    return CoinBook(coin, delay, 4, slots)


def test_values_are_learned_one_after_the_other() -> None:
    learned = book()
    assert learned.order(1) is None
    assert learned.accepts(5, COIN.reveal(1))
    assert learned.accepts(6, COIN.reveal(2))
    assert learned.seed(2) == COIN.reveal(2)
    assert learned.order(1) == draw_order(COIN.reveal(1), 4)


def test_a_wrong_value_is_refused_before_and_after_the_right_one() -> None:
    learned = book()
    assert not learned.accepts(5, bytes(32))
    assert not learned.accepts(5, COIN.reveal(2))
    assert learned.seed(1) is None
    assert learned.accepts(5, COIN.reveal(1))
    assert not learned.accepts(5, bytes(32))


def test_a_value_whose_predecessor_is_unknown_is_refused() -> None:
    assert not book().accepts(6, COIN.reveal(2))


def test_rounds_without_a_coin_carry_nothing() -> None:
    for round_ in (1, 4, 25, 26):
        assert book().accepts(round_, b"")
        assert not book().accepts(round_, bytes(32))


def test_a_quorum_releases_the_coin_of_the_delay_before() -> None:
    for delay in (3, 4):
        released = book(delay)
        released.release(delay)
        assert released.seed(1) is None
        released.release(delay + 1)
        assert released.seed(1) == COIN.reveal(1)
        assert released.carried(delay + 2) == COIN.reveal(1)
        assert released.carried(delay + 1) == b""


def test_a_secret_of_another_chain_is_our_own_fault() -> None:
    class Mixed(ChainCoin):
        anchor = COIN.anchor

        def __init__(self) -> None:
            self.other = ChainCoin(20, b"another secret")
            self.length = 20

        def reveal(self, round: int) -> bytes:
            return self.other.reveal(round)

    with pytest.raises(LocalFault, match="coin"):
        book(coin=Mixed()).release(4)


def test_past_the_chain_the_order_follows_from_the_anchor_and_the_round() -> None:
    first, second = book(), book(coin=ChainCoin(20, b"another secret"))
    assert first.order(21) is not None
    orders = {first.order(round_) for round_ in range(21, 60)}
    assert len(orders) > 10
    assert {second.order(round_) for round_ in range(21, 60)} != orders


def test_orders_are_permutations_and_each_author_leads_about_equally_often() -> None:
    coin = ChainCoin(2000)
    first = [0] * 5
    for round_ in range(1, 2001):
        order = draw_order(coin.reveal(round_), 5)
        assert sorted(order) == [0, 1, 2, 3, 4]
        first[order[0]] += 1
    assert all(320 < count < 480 for count in first)


def test_fewer_slots_are_the_first_of_the_order() -> None:
    few = book(slots=2)
    few.release(4)
    assert few.order(1) == draw_order(COIN.reveal(1), 4)[:2]


def test_collected_values_are_forgotten_and_later_ones_still_checked() -> None:
    coin = ChainCoin(200)
    long = book(coin=coin)
    for round_ in range(1, 101):
        assert long.accepts(round_ + 4, coin.reveal(round_))
    long.collect(60)
    assert long.seed(40) is None
    assert long.seed(58) == coin.reveal(58)
    assert long.accepts(105, coin.reveal(101))
