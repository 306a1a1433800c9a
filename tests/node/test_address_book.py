"""Addresses are hearsay: no flood of them fills the book, or surrounds whoever asks it."""

from random import Random

import pytest

from ccp2p.model import limits
from ccp2p.network.addresses import format_address, subnet_of
from ccp2p.node.address_book import AddressBook

OWN = b"o" * 32


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


EVERYBODY = {key(number) for number in range(3000)}


def at(host: str, number: int, port: int = 4001) -> str:
    return format_address(host, port, key(number))


def test_what_was_heard_is_kept_and_comes_back_from_the_store():
    book = AddressBook(OWN)
    assert book.hear(key(1), [at("192.0.2.1", 1)])
    assert not book.hear(key(1), [at("192.0.2.1", 1)]), "no news"
    book.met(key(1), at("198.51.100.1", 1), "sim-a", b"p", 5)
    assert book.addresses(key(1)) == (at("198.51.100.1", 1), at("192.0.2.1", 1))
    again = AddressBook.decode(OWN, book.encode())
    assert again.contact(key(1)) == book.contact(key(1))
    assert len(AddressBook.decode(OWN, None)) == 0


@pytest.mark.parametrize(
    ("node", "address"),
    [
        (OWN, format_address("192.0.2.1", 1, OWN)),
        (key(1), at("192.0.2.1", 2)),
        (key(1), "/ip4/192.0.2.1/tcp/1"),
        (key(1), "/ip4/not/an/address"),
        (key(1), "\xff" * 5000),
    ],
)
def test_an_address_that_leads_to_nobody_or_another_or_home_is_not_kept(node, address):
    book = AddressBook(OWN)
    assert not book.hear(node, [address])
    assert len(book) == 0


def test_a_node_has_a_few_addresses_and_the_last_that_worked_is_the_first():
    book = AddressBook(OWN)
    many = [at(f"192.0.2.{n}", 1) for n in range(1, 40)]
    book.hear(key(1), many)
    kept = book.addresses(key(1))
    assert len(kept) == limits.BOOK_ADDRESSES
    book.missed(key(1), kept[0])
    assert book.addresses(key(1)) == (*kept[1:], kept[0])
    book.met(key(1), kept[3], "", b"", 1)
    assert book.addresses(key(1))[0] == kept[3]
    assert book.contact(key(1)).missed == 0


def test_one_subnet_fills_its_share_only():
    book = AddressBook(OWN)
    for number in range(3000):
        book.hear(key(number), [at(f"10.9.{number % 250}.{1 + number // 250}", number)])
    assert len(book) == limits.BOOK_SUBNET_NODES
    assert book.hear(key(5000), [at("10.10.0.1", 5000)])
    assert book.hear(key(5001), [format_address("2001:db8::1", 1, key(5001))])
    assert subnet_of(at("10.9.1.1", 1)) != subnet_of(at("10.10.1.1", 1))
    v6 = [format_address(host, 1, key(1)) for host in ("2001:db8::1", "2001:db8:ffff::1")]
    assert len({subnet_of(text) for text in v6}) == 1


def test_any_number_of_subnets_fills_the_book_and_drives_out_nobody_who_was_met():
    book = AddressBook(OWN)
    for number in range(20):
        book.met(key(number), at(f"192.0.2.{number + 1}", number), "sim-a", key(number), 1)
    for number in range(100, 3000):
        book.hear(key(number), [at(f"{11 + number % 200}.{number // 200}.0.1", number)])
    assert len(book) == limits.BOOK_NODES
    assert all(book.addresses(key(number)) for number in range(20))


def test_more_than_the_book_holds_were_met_and_the_oldest_make_room():
    book = AddressBook(OWN)
    for number in range(limits.BOOK_NODES + 5):
        book.met(key(number), at("192.0.2.1", number), "", b"", 1 + number)
    assert len(book) == limits.BOOK_NODES
    assert [book.addresses(key(number)) for number in range(5)] == [()] * 5


def crowded(randomness: Random) -> AddressBook:
    """One honest node that was heard of, one that was met; and an attacker who is everywhere.

    It has 200 attested nodes on chips of one vendor in one subnet, and claims 1,000 others.
    """
    book = AddressBook(OWN)
    for number in range(100, 300):
        host = f"10.66.{number % 250}.{1 + number // 250}"
        book.met(key(number), at(host, number), "sim-x", key(number), 1)
    book.met(key(1), at("192.0.2.1", 1), "sim-a", b"chip", 1)
    for number in range(1000, 2000):
        host = f"10.66.{randomness.randrange(250)}.{1 + randomness.randrange(250)}"
        book.hear(key(number), [at(host, number)])
    book.hear(key(2), [at("198.51.100.1", 2)])
    return book


def test_an_attacker_with_one_vendor_or_one_subnet_does_not_surround_a_newcomer():
    for seed in range(10):
        randomness = Random(seed)
        book = crowded(randomness)
        chosen = book.choose(limits.NODES_ASKED, EVERYBODY, randomness)
        assert len(chosen) == len(set(chosen)) == limits.NODES_ASKED
        assert {key(1), key(2)} & set(chosen), "an honest node is asked"
        assert key(1) in chosen, "it is of another subnet, vendor and platform than all others"


def test_claimed_subnets_do_not_drive_out_the_choice_who_was_met():
    """Anybody can name addresses in any subnet, in vain; half of those asked were met before."""
    for seed in range(5):
        randomness = Random(seed)
        book = AddressBook(OWN)
        for number in range(4):
            book.met(key(number), at(f"192.0.2.{number + 1}", number), "sim-a", key(number), 1)
        for number in range(1000, 3000):
            book.hear(key(number), [at(f"{11 + number % 200}.{number // 200}.0.1", number)])
        chosen = set(book.choose(limits.NODES_ASKED, EVERYBODY, randomness))
        assert len(chosen & {key(number) for number in range(4)}) >= limits.NODES_ASKED // 2 - 1


def test_others_are_not_chosen_and_who_was_missed_comes_last():
    book = AddressBook(OWN)
    for number in range(4):
        book.hear(key(number), [at("192.0.2.1", number)])
    book.missed(key(0), at("192.0.2.1", 0))
    chosen = book.choose(9, [key(0), key(1), key(2)], Random(1))
    assert len(chosen) == 3
    assert chosen[-1] == key(0)
