"""Whom an observer asks: who announced, one after another, nobody for longer than it is worth."""

from ccp2p.node.follower import HELD_MS, Follower

A, B, C, D, E = (bytes([at]) * 32 for at in range(5))
NOTHING, SOME, MORE = (0, 0), (1, 0), (2, 2)


def heard(*nodes: bytes, commit: int = 5) -> Follower:
    follower = Follower()
    for node in nodes:
        assert follower.hear(node, commit, 0, 0), "nobody is asked yet"
    return follower


def test_who_announced_first_is_asked_and_nobody_else_while_it_may_answer() -> None:
    follower = heard(A, B)
    assert follower.next(0, NOTHING, 1_000) == A
    assert follower.next(0, NOTHING, 1_249) is None
    assert follower.wait_ms(1_100) == 150


def test_what_is_here_is_not_asked_for() -> None:
    follower = heard(A)
    assert not follower.hear(A, 5, 0, 0), "said before"
    assert not follower.hear(B, 4, 4, 0), "here already"
    assert follower.next(5, SOME, 0) is None
    assert not follower.is_behind


def test_sources_take_turns_while_they_bring_something() -> None:
    follower = heard(A, B)
    asked = []
    for at in range(4):
        node = follower.next(0, (at, 0), at)
        assert node is not None
        asked.append(node)
        follower.answered(node, (at + 1, 0), at)
    assert asked == [A, B, A, B]


def test_who_has_no_more_is_asked_again_once_it_announces_more() -> None:
    follower = heard(A)
    assert follower.next(0, NOTHING, 0) == A
    follower.answered(A, NOTHING, 1)
    assert follower.next(0, NOTHING, 1) is None
    assert not follower.is_behind
    assert follower.hear(A, 6, 0, 2)
    assert follower.next(0, NOTHING, 2) == A


def test_others_are_asked_as_well_when_one_is_slow_and_it_comes_last_from_then_on() -> None:
    follower = heard(A, B)
    assert follower.next(0, NOTHING, 0) == A
    assert follower.next(0, NOTHING, 250) == B
    follower.answered(B, SOME, 251)
    follower.answered(A, SOME, 251)
    assert follower.next(0, SOME, 300) == B
    follower.answered(B, SOME, 300)
    assert follower.next(0, SOME, 301) == A, "where there is nobody else"


def test_who_brought_something_is_asked_on_and_may_take_its_time_until_others_have_more() -> None:
    follower = heard(A)
    assert follower.next(0, NOTHING, 0) == A
    follower.answered(A, SOME, 10)
    assert follower.next(5, SOME, 10) == A, "although nothing is known to be lacking"
    assert follower.wait_ms(10) is None
    assert follower.next(5, SOME, 400) is None
    assert follower.hear(B, 6, 5, 400)
    assert follower.next(5, SOME, 649) is None, "it has had no time to answer"
    assert follower.next(5, SOME, 650) == B
    follower.answered(B, MORE, 660)
    assert follower.next(6, MORE, 660) is None, "the first has still to answer"
    follower.answered(A, MORE, 700)
    assert follower.next(6, MORE, 700) == A


def test_who_is_asked_on_and_says_at_once_that_there_is_nothing_is_left_alone() -> None:
    follower = heard(A)
    assert follower.next(0, NOTHING, 0) == A
    follower.answered(A, SOME, 1)
    assert follower.next(5, SOME, 1) == A
    follower.answered(A, SOME, 2)
    assert follower.next(5, SOME, 2) is None
    assert follower.hear(A, 6, 5, 3)
    assert follower.next(5, SOME, 3) == A
    follower.answered(A, MORE, 4)
    assert follower.next(6, MORE, 4) == A
    waited = 4 + HELD_MS
    follower.answered(A, MORE, waited)
    assert follower.next(6, MORE, waited) == A, "it waited for something to come"


def test_at_most_three_are_asked_at_once_and_each_is_given_up_in_the_end() -> None:
    follower = heard(A, B, C, D)
    asked = [follower.next(0, NOTHING, at) for at in (0, 300, 600, 900, 1_200, 2_000)]
    assert asked == [A, B, C, None, None, D]
    assert follower.wait_ms(2_250) == 50, "until B is given up"
    assert [follower.next(0, NOTHING, at) for at in (9_000, 9_001)] == [None, None]
    assert not follower.is_behind


def test_who_is_gone_is_forgotten() -> None:
    follower = heard(A, B)
    assert follower.next(0, NOTHING, 0) == A
    follower.keep_only({B})
    assert follower.next(0, NOTHING, 1) == B
    follower.forget(B)
    assert not follower.is_behind
    assert not any((follower._asked, follower._held, follower._claims, follower._source))
