from pathlib import Path

import msgspec
import pytest

from ccp2p.client.profile import Profile
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.ticket import Ticket

TICKET = Ticket(b"n" * 32, "home", "member", True, b"r" * 32, ("/ip4/127.0.0.1/tcp/1",), b"s" * 16)
OTHER = msgspec.structs.replace(TICKET, network=b"o" * 32)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(tmp_path / "home")


def test_a_network_is_found_by_its_name_or_alone(profile: Profile):
    assert profile.add_network(TICKET, None) == "home"
    assert profile.network(None) == profile.network("home") == ("home", TICKET)


def test_two_networks_of_one_name_get_two_local_names(profile: Profile):
    assert [profile.add_network(t, None) for t in (TICKET, OTHER)] == ["home", "home-2"]
    with pytest.raises(MemberFault, match="joined: home"):
        profile.network(None)


def test_joining_again_replaces_the_ticket_and_keeps_the_name(profile: Profile):
    profile.add_network(TICKET, "mine")
    newer = msgspec.structs.replace(TICKET, addresses=("/ip4/127.0.0.1/tcp/2",))
    assert profile.add_network(newer, None) == "mine"
    assert profile.networks() == {"mine": newer}


def test_a_name_in_use_is_not_given_to_another_network(profile: Profile):
    profile.add_network(TICKET, "mine")
    with pytest.raises(MemberFault, match="another network"):
        profile.add_network(OTHER, "mine")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "-x", ".x", "x" * 65, "a\nb"])
def test_names_that_could_leave_the_folder_are_refused(profile: Profile, name: str):
    with pytest.raises(MemberFault) as caught:
        profile.add_network(TICKET, name or "\0")
    assert caught.value.code == "name"


@pytest.mark.parametrize("name", ["", "../../etc", "ünï cödé", "\x1b[2J", "a" * 64])
def test_a_strange_network_name_becomes_a_plain_local_one(profile: Profile, name: str):
    local = profile.add_network(msgspec.structs.replace(TICKET, name=name), None)
    assert profile.network(local)[1].network == TICKET.network
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in local)


def test_a_members_key_is_made_once_and_only_its_owner_reads_it(profile: Profile):
    key = profile.member("ann").public
    assert Profile(profile.folder).member("ann").public == key
    assert profile.member(None).public != key
    for path in profile.folder.rglob("*.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_damaged_key_is_named_and_not_replaced(profile: Profile):
    profile.member("ann")
    path = profile.folder / "members" / "ann.key"
    path.write_bytes(b"short")
    with pytest.raises(LocalFault, match=r"ann\.key is damaged"):
        profile.member("ann")
    assert path.read_bytes() == b"short"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFault, match="cannot be written"):
        Profile(tmp_path / "file").member("ann")


def test_a_network_left_is_forgotten_and_its_name_is_free(profile: Profile):
    profile.add_network(TICKET, "mine")
    key = profile.member("ann").public
    profile.remove_network("mine")
    assert profile.networks() == {}
    assert profile.add_network(OTHER, "mine") == "mine"
    assert profile.member("ann").public == key


def test_a_key_that_no_network_took_goes_without_a_trace(profile: Profile):
    kept = profile.member("ann").public
    assert not profile.has_member("bob")
    profile.member("bob")
    assert profile.has_member("bob")
    profile.remove_member("bob")
    assert not profile.has_member("bob")
    assert profile.member("ann").public == kept
    profile.remove_member("ann")
    assert not (profile.folder / "members").exists()


def test_a_name_that_is_anothers_is_refused_before_anything_is_written(profile: Profile):
    profile.add_network(TICKET, "mine")
    with pytest.raises(MemberFault, match="another network"):
        profile.name_for(OTHER, "mine")
    assert profile.name_for(TICKET, None) == "mine"
    assert profile.name_for(OTHER, None) == "home"
