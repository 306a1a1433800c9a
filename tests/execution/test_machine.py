import pytest

from ccp2p.execution import apps
from ccp2p.execution.app import Context, View
from ccp2p.execution.apps.kv_protocol import Get, Put, Query, Request, Value
from ccp2p.execution.governance import NOBODY
from ccp2p.execution.machine import StateMachine
from ccp2p.execution.outcomes import Stretch, verify_outcome
from ccp2p.model import codec
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.hashing import ZERO_DIGEST
from ccp2p.model.outcome import SessionRecord
from tests.execution.ledger import NETWORK, Ledger, event, member


class Odd:
    """An app that does what its body says, right or wrong."""

    def apply(self, context: Context, body: bytes) -> bytes:
        context.put(b"trace", body)
        match body:
            case b"refuse":
                raise MemberFault("refused", "as asked")
            case b"mistake":
                return {}[body]
            case b"long":
                return b"x" * 1025
            case b"oversized-key":
                context.put(b"k" * 600, b"")
            case b"oversized-value":
                context.put(b"k", bytes(200_000))
            case b"memory":
                raise MemoryError
            case b"seed":
                return context.seed
            case b"time":
                return b"%d %d %d" % (context.ledger_time_ms, context.commit, context.position)
            case b"take back":
                context.delete(b"trace")
                return context.get(b"trace") or b"gone"
        return b"done"

    def query(self, view: View, member: bytes, body: bytes) -> bytes:
        if body == b"mistake":
            raise ZeroDivisionError
        return view.get(b"trace") or b"none"


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setitem(apps.APPS, "odd", Odd)
    return Ledger("odd")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"refuse", b"refused"),
        (b"mistake", b"app-mistake"),
        (b"long", b"answer-oversized"),
        (b"oversized-key", b"oversized"),
        (b"oversized-value", b"oversized"),
    ],
)
def test_a_failing_operation_leaves_no_partial_writes(odd: Ledger, body: bytes, reason: bytes):
    outcomes = odd.apply([event("a", 1, b"fine"), event("a", 2, body)]).outcomes
    assert [(o.status, o.body) for _, o in outcomes] == [("ok", b"done"), ("rejected", reason)]
    assert odd.machine.query(member("a"), b"") == b"fine"
    assert odd.machine.last_of(member("a")) == 2, "a rejected event was executed all the same"


def test_what_may_differ_between_nodes_stops_the_node(odd: Ledger):
    with pytest.raises(MemoryError):
        odd.apply([event("a", 1, b"memory")])


def test_a_mistake_in_a_query_is_a_fault_with_a_name(odd: Ledger):
    with pytest.raises(MemberFault) as caught:
        odd.machine.query(member("a"), b"mistake")
    assert caught.value.code == "app-mistake"


def test_an_app_sees_ledger_time_its_place_and_its_own_writes(odd: Ledger):
    odd.apply()
    outcomes = odd.apply([event("a", 1, b"time"), event("b", 1, b"time")]).outcomes
    assert [o.body for _, o in outcomes] == [b"2000 2 0", b"2000 2 1"]
    assert odd.apply([event("a", 2, b"take back")]).outcomes[0][1].body == b"gone"
    assert odd.machine.query(member("a"), b"") == b"none"


def test_seeds_are_the_same_on_every_node_and_never_twice(odd: Ledger):
    def seeds(ledger: Ledger) -> list[bytes]:
        first = ledger.apply([event("a", 1, b"seed"), event("b", 1, b"seed")]).outcomes
        second = ledger.apply([event("a", 2, b"seed")]).outcomes
        ledger.begin_epoch(b"t" * 32)
        third = ledger.apply([event("a", 3, b"seed")]).outcomes
        return [outcome.body for _, outcome in [*first, *second, *third]]

    mine = seeds(odd)
    assert mine == seeds(Ledger("odd"))
    assert len(set(mine)) == 4


def put(author: str, sequence: int) -> bytes:
    return codec.encode(Request(Put(b"%d of " % sequence + author.encode(), b"value")))


def busy(ledger: Ledger, commits: int, first: int = 1):
    """Commits with an event of each of two members."""
    return [
        ledger.apply([event(author, number, put(author, number)) for author in "ab"])
        for number in range(first, first + commits)
    ]


def test_a_restart_at_any_commit_changes_no_root_and_no_bucket():
    steady, restarting = Ledger("kv"), Ledger("kv", cache_bytes=0)
    for number in range(1, 14):
        (expected,) = busy(steady, 1, number)
        (found,) = busy(restarting, 1, number)
        assert found == expected
        restarting.restart()
        assert restarting.machine.state_root == expected.state_root
        assert restarting.machine.outcomes_root == expected.outcomes_root


def test_an_empty_commit_changes_nothing_but_the_first():
    ledger = Ledger("kv")
    ledger.apply()
    root = ledger.machine.state_root
    applied = ledger.apply()
    assert (applied.buckets, applied.state_root) == ({}, root)
    assert applied.outcomes_root == ZERO_DIGEST


def test_every_executed_outcome_is_proved_under_its_checkpoint():
    ledger = Ledger("kv")
    ledger.apply([event("z", 1, b"malformed"), event("z", 3, put("z", 3))])
    applied = busy(ledger, 7)
    roots = {number + 2: each.outcomes_root for number, each in enumerate(applied)}
    for first, end in ((4, 6), (7, 8)):
        commits = applied[first - 2 : end - 1]
        stretch = Stretch(0, end, [each.leaves for each in commits])
        assert stretch.root == roots[end]
        for _, outcome in (answered for each in commits for answered in each.outcomes):
            proof = stretch.prove(outcome.event)
            assert proof is not None
            assert verify_outcome(roots[end], outcome, proof)
            forged = type(outcome)(outcome.event, "rejected", outcome.commit, 0, b"")
            assert not verify_outcome(roots[end], forged, proof)
        assert stretch.prove(b"unknown") is None


def session(name: str, epoch: int = 0, commit: int = 1) -> SessionRecord:
    return SessionRecord(name.encode(), member(name), b"k" * 32, epoch, commit)


def test_sessions_are_kept_until_closed_or_until_their_epoch_ends():
    ledger = Ledger("kv")
    ledger.apply([], [session("a"), session("b"), session("c")])
    ledger.apply([], [session("brief")], [b"brief", b"b"])
    ledger.restart()
    names = {record.session for record in ledger.machine.session_records()}
    assert names == {b"a", b"c"}
    keys = b"".join(ledger.disk.values()).count(b"k" * 32)
    assert keys == 2
    ledger.begin_epoch(b"t" * 32)
    ledger.apply([], [session("d", epoch=1)])
    assert ledger.machine.session_records() == [session("d", epoch=1)]
    ledger.restart()
    assert ledger.machine.session_records() == [session("d", epoch=1)]
    assert b"".join(ledger.disk.values()).count(b"k" * 32) == 1, "old keys must be gone from disk"


def test_a_query_sees_the_last_commit():
    ledger = Ledger("kv")
    busy(ledger, 1)
    reply = ledger.machine.query(member("a"), codec.encode(Query(Get(b"1 of a"))))
    assert codec.decode(reply, Value, 1024).value == b"value"


def test_an_unknown_app_or_protocol_is_refused_by_name():
    settings = {
        "network": NETWORK,
        "salt_key": b"s" * 32,
        "load_bucket": lambda _: None,
    }
    with pytest.raises(LocalFault, match="no app called"):
        StateMachine(app="chess", protocol=1, **settings)
    with pytest.raises(LocalFault, match="protocol 2"):
        StateMachine(app="kv", protocol=2, **settings)
    with pytest.raises(LocalFault, match="protocol 9"):
        StateMachine(app="kv", protocol=1, **settings).begin_epoch(b"t" * 32, 9, NOBODY)
