import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.execution.apps.kv_protocol import (
    Delete,
    Get,
    Keys,
    List,
    Put,
    Query,
    Request,
    Value,
)
from ccp2p.model import codec, limits
from tests.execution.ledger import Ledger, event, member


def ask(ledger: Ledger, question: Get | List) -> Value | Keys:
    reply = ledger.machine.query(member("a"), codec.encode(Query(question)))
    assert len(reply) <= limits.MAX_QUERY_REPLY_BYTES
    return codec.decode(reply, Value if isinstance(question, Get) else Keys, 1 << 20)


def test_what_one_member_puts_another_gets():
    ledger = Ledger("kv")
    assert ledger.do("a", Request(Put(b"k", b"v"))).status == "ok"
    assert ledger.do("b", Request(Put(b"k", b""))).status == "ok"
    assert ask(ledger, Get(b"k")).value == b""
    assert ask(ledger, Get(b"other")).value is None


def test_a_key_is_deleted_once():
    ledger = Ledger("kv")
    ledger.do("a", Request(Put(b"k", b"v")))
    assert ledger.do("a", Request(Delete(b"k"))).status == "ok"
    assert ask(ledger, Get(b"k")).value is None
    again = ledger.do("a", Request(Delete(b"k")))
    assert (again.status, again.body) == ("rejected", b"no-such-key")
    assert ask(ledger, List()).keys == ()


def test_keys_are_listed_in_order_a_page_at_a_time():
    ledger = Ledger("kv")
    names = [b"%s/%02d" % (kind, n) for kind in (b"a", b"b") for n in range(30)]
    ledger.apply([ledger.next("a", Request(Put(name, b"v"))) for name in reversed(names)])
    listed, more, after = [], True, b""
    while more:
        page = ask(ledger, List(b"b/", after, 7))
        assert len(page.keys) <= 7
        listed, more, after = [*listed, *page.keys], page.more, page.keys[-1]
    assert listed == names[30:]
    assert ask(ledger, List()) == Keys(tuple(names), False)
    assert ask(ledger, List(limit=60)) == Keys(tuple(names), False)
    assert ask(ledger, List(limit=59)).more


def test_a_list_of_the_longest_keys_fits_a_reply():
    ledger = Ledger("kv", cache_bytes=0)
    for start in range(0, 520, 52):
        ledger.apply(
            [ledger.next("a", Request(Put(b"%0256d" % n, b""))) for n in range(start, start + 52)]
        )
    page = ask(ledger, List(limit=100_000))
    assert (len(page.keys), page.more) == (limits.MAX_QUERY_ITEMS, True)


@pytest.mark.parametrize("key", [b"", b"k" * 257])
def test_a_key_of_impossible_length_is_rejected(key: bytes):
    outcome = Ledger("kv").do("a", Request(Put(key, b"v")))
    assert (outcome.status, outcome.body) == ("rejected", b"malformed")


def test_the_largest_event_is_stored_and_read_back():
    ledger = Ledger("kv")
    value = b"v" * (limits.MAX_EVENT_BYTES - 512)
    assert ledger.do("a", Request(Put(b"k", value))).status == "ok"
    ledger.restart()
    assert ask(ledger, Get(b"k")).value == value


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_outcome_or_a_members_fault(data: bytes):
    ledger = Ledger("kv")
    ((_, outcome),) = ledger.apply([event("a", 1, data)]).outcomes
    assert outcome.status in ("ok", "rejected")
    assert outcome.body != b"app-mistake"
    assert ledger.query_fault("a", data) in ("", "malformed")
