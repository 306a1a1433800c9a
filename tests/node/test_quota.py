"""What a network may take."""

from ccp2p.model import limits
from ccp2p.network import Inbox
from ccp2p.node.quota import OWN, Allowance, hosted_quota


def test_an_allowance_is_earned_by_time_and_holds_a_second_of_it():
    allowance = Allowance(100, 0.0)
    assert allowance.take(150, 0.0) == 100
    assert allowance.take(1, 0.0) == 0
    assert allowance.take(10, 0.05) == 5
    assert allowance.take(1000, 60.0) == 100


def test_without_a_rate_everything_goes_on():
    assert Allowance(0, 0.0).take(1 << 40, 0.0) == 1 << 40
    assert OWN.events_per_s == 0


def test_hosted_networks_have_a_part_of_each_bound():
    quota = hosted_quota(256, 50)
    assert (quota.storage_bytes, quota.events_per_s) == (256 << 20, 50)
    assert quota.inbox_bytes * 8 == OWN.inbox_bytes == limits.INBOX_BYTES
    assert quota.queue_bytes * 8 == OWN.queue_bytes
    assert quota.cache_bytes * 8 == OWN.cache_bytes


def test_an_inbox_holds_no_more_than_its_share():
    inbox = Inbox(1000)
    taken = [inbox.offer(bytes([peer]) * 32, bytes(400)) for peer in range(5)]
    assert taken == [True, True, True, False, False]
