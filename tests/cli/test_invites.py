"""A network that a person creates, and the tickets to it: every end that an invite can come to."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from ccp2p.model.ticket import format_ticket, parse_ticket
from ccp2p.node.home import NodeHome
from tests.cli.conftest import Member, NodeProcess, start_node


@dataclass
class Created:
    """A network of one node, made with `net create`; `owner` governs it."""

    owner: Member
    node: NodeProcess
    shown: dict[str, object]

    def ticket(self, *options: str) -> str:
        """A new ticket."""
        return str(self.owner.json("invite", "create", *options)["ticket"])


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Created]:
    folder = tmp_path_factory.mktemp("created")
    owner = Member(folder / "owner")
    shown = owner.json(
        "net", "create", "friends", "--data", str(folder / "node"), "--coin-length", "65536"
    )
    node = start_node(folder / "node")
    yield Created(owner, node, shown)
    assert node.stop() == 0


def files(member: Member) -> dict[Path, bytes]:
    """Everything that a person's folder holds."""
    home = Path(member.environment["CCP2P_HOME"])
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def refused(member: Member, *arguments: str, code: int, stdin: str | None = None) -> str:
    """What a command says that fails with `code` and changes nothing on disk."""
    before = files(member)
    result = member.run(*arguments, code=code, stdin=stdin)
    assert files(member) == before
    assert result.stdout == ""
    return result.stderr


def guest(created: Created, name: str) -> Member:
    """Somebody with an empty folder."""
    home = Path(created.owner.environment["CCP2P_HOME"])
    return Member(home.parent / name)


def test_its_creator_governs_it_and_needs_no_invite(created: Created):
    key = created.owner.json("inspect", "member")["key"]
    assert created.shown["governors"] == [key]
    assert created.node.ticket == "", "nobody but a governor lets anybody in"
    assert created.owner.json("net", "list")["networks"][0]["name"] == "friends"
    created.owner.run("room", "create", "lobby")
    assert str(key)[:48] in created.owner.run("net", "show").stdout


def test_a_ticket_lets_one_person_in_and_refuses_the_second(created: Created):
    ticket = created.ticket()
    ann, bob = guest(created, "ann"), guest(created, "bob")
    ann.run("net", "join", "-", stdin=ticket)
    ann.run("room", "list")
    assert "used up: ask for a new ticket" in refused(bob, "net", "join", ticket, code=6)
    assert bob.json("net", "list")["networks"] == []
    assert "none; join one with" in refused(bob, "room", "list", code=2)
    ann.run("net", "join", ticket)  # a member needs no invite, so the used ticket will do


def test_a_ticket_for_two_lets_two_in(created: Created):
    ticket = created.ticket("--uses", "2")
    for name in ("carl", "dora"):
        guest(created, name).run("net", "join", ticket)
    assert "used up" in refused(guest(created, "emil"), "net", "join", ticket, code=6)


def test_a_ticket_ends_in_time(created: Created):
    ticket = created.ticket("--ttl", "1s", "--uses", "9")
    late = guest(created, "late")
    deadline = time.monotonic() + 20
    ends_ms = parse_ticket(ticket).expires_ms
    while time.time() * 1000 < ends_ms + 2500 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "has expired: ask for a new ticket" in refused(late, "net", "join", ticket, code=6)
    assert "which is over" in late.run("invite", "show", ticket).stdout


def test_a_ticket_that_was_taken_back_lets_nobody_in(created: Created):
    ticket = created.ticket("--uses", "2")
    created.owner.run("invite", "revoke", "-", stdin=ticket)
    said = refused(guest(created, "fred"), "net", "join", ticket, code=6)
    assert "ask for a new ticket" in said
    assert "no-such-invite" in refused(created.owner, "invite", "revoke", ticket, code=6)


def test_a_ticket_with_another_secret_lets_nobody_in(created: Created):
    forged = msgspec.structs.replace(parse_ticket(created.ticket()), secret=b"guessed")
    said = refused(guest(created, "eve"), "net", "join", format_ticket(forged), code=6)
    assert "does not know the ticket's invite" in said


def test_only_a_governor_invites(created: Created):
    gina = guest(created, "gina")
    ticket = created.ticket()
    gina.run("net", "join", ticket)
    assert "only governors invite" in refused(gina, "invite", "create", code=6)
    assert "only governors invite" in refused(gina, "invite", "revoke", ticket, code=6)


def test_a_cut_or_altered_ticket_is_a_usage_error(created: Created):
    ticket = created.ticket()
    altered = ticket[:50] + ("a" if ticket[50] != "a" else "b") + ticket[51:]
    stranger = guest(created, "stranger")
    for text in (ticket[:-3], altered, "ccp2p1", ""):
        for command in (("net", "join", "-"), ("invite", "show", "-"), ("inspect", "ticket", "-")):
            assert "error: " in refused(stranger, *command, code=2, stdin=text)
    assert not Path(stranger.environment["CCP2P_HOME"]).exists()
    stranger.run("net", "join", ticket)


def test_a_ticket_to_another_network_is_refused(created: Created, rooms_node: NodeProcess):
    ticket = parse_ticket(created.ticket())
    elsewhere = parse_ticket(rooms_node.ticket)
    crossed = format_ticket(msgspec.structs.replace(ticket, network=elsewhere.network))
    said = refused(guest(created, "hugo"), "net", "join", crossed, code=3)
    assert "not of the network asked for" in said
    said = refused(created.owner, "invite", "revoke", rooms_node.ticket, code=2)
    assert "another network's ticket" in said


def test_a_nodes_ticket_makes_no_member_and_a_members_no_node(created: Created, tmp_path: Path):
    ivo = guest(created, "ivo")
    for_node, for_member = created.ticket("--role", "node"), created.ticket()
    assert "--as goes with a member ticket" in refused(
        ivo, "net", "join", for_node, "--as", "x", code=2
    )
    folder = tmp_path / "node"
    data = ("--data", str(folder))
    assert "--data goes with a node ticket" in refused(
        ivo, "net", "join", for_member, *data, code=2
    )
    assert "member's ticket" in refused(ivo, "node", "--join", for_member, *data, code=2)
    crossed = msgspec.structs.replace(parse_ticket(for_node), network=b"x" * 32)
    for command in (("net", "join"), ("node", "--join")):
        said = refused(ivo, *command, format_ticket(crossed), *data, code=3)
        assert "not of the network asked for" in said
    assert not folder.exists()
    forged = format_ticket(msgspec.structs.replace(parse_ticket(for_node), role="member"))
    assert "is for the other role" in refused(ivo, "net", "join", forged, code=6)
    assert ivo.json("net", "join", for_node, *data)["founded"] is True


def test_simulated_tees_are_refused_unless_allowed(created: Created):
    jane = guest(created, "jane")
    ticket = created.ticket()
    del jane.environment["CCP2P_ALLOW_SIMULATED"]
    assert "--allow-simulated" in refused(jane, "net", "join", ticket, code=4)
    jane.run("net", "join", "--allow-simulated", ticket)  # the refusal used nothing up


def test_a_ticket_shows_what_it_pins_offline_and_keeps_its_secret(created: Created):
    text = created.ticket("--ttl", "30m")
    ticket = parse_ticket(text)
    shown = guest(created, "kim").json("invite", "show", text)
    assert shown == {
        "schema": "ticket/1",
        "name": "friends",
        "id": created.shown["id"],
        "role": "member",
        "kind": "group",
        "simulated": True,
        "record": ticket.record.hex(),
        "addresses": list(ticket.addresses),
        "invite": True,
        "expires_ms": ticket.expires_ms,
    }
    assert len(ticket.record) == 32
    assert abs(ticket.expires_ms / 1000 - time.time() - 1800) < 60
    told = guest(created, "kim").run("invite", "show", "-", stdin=text)
    assert "SIMULATED" in told.output
    assert "invite ends: 20" in told.stdout
    assert ticket.secret.hex() not in told.output


def test_the_ticket_alone_is_on_stdout_and_a_code_to_scan_beside_it(created: Created):
    plain = created.owner.run("invite", "create")
    assert re.fullmatch(r"ccp2p1[a-z2-7]+\n", plain.stdout)
    assert "█" not in plain.stderr
    drawn = created.owner.run("invite", "create", "--qr")
    assert re.fullmatch(r"ccp2p1[a-z2-7]+\n", drawn.stdout)
    assert drawn.stderr.count("\n█") > 20
    assert "NOT CONFIDENTIAL" in drawn.stderr


def test_what_is_scanned_is_a_ticket(created: Created, monkeypatch):
    import segno

    made: list[str] = []
    make_qr = segno.make_qr

    def spy(text: str, **options: object) -> segno.QRCode:
        made.append(text)
        return make_qr(text, **options)

    monkeypatch.setattr(segno, "make_qr", spy)
    text = created.owner.run("invite", "create", "--qr").stdout
    assert parse_ticket(made[0]) == parse_ticket(text)
    assert make_qr(made[0], error="l").mode == "alphanumeric"
    monkeypatch.setenv("COLUMNS", "40")
    assert "it takes" in created.owner.run("invite", "create", "--qr").stderr


def test_a_ticket_goes_to_a_file_of_its_owners(created: Created, tmp_path: Path):
    path = tmp_path / "ticket"
    shown = created.owner.json("invite", "create", "--output", str(path))
    assert (shown["ticket"], shown["file"]) == (None, str(path))
    assert path.stat().st_mode & 0o077 == 0
    guest(created, "lena").run("net", "join", f"@{path}")
    said = refused(created.owner, "invite", "create", "--output", str(path), code=2)
    assert "exists already" in said


@pytest.mark.parametrize("ttl", ["", "0s", "-1h", "1", "h", "1w", "367d", "1.5h", "9999999999s"])
def test_a_lifetime_that_is_none_is_a_usage_error(created: Created, ttl: str):
    assert "--ttl" in refused(created.owner, "invite", "create", "--ttl", ttl, code=2)


def test_leaving_asks_forgets_and_says_what_stays(created: Created):
    mia = guest(created, "mia")
    ticket = created.ticket()
    mia.run("net", "join", ticket)
    key = mia.json("inspect", "member")["key"]
    before = files(mia)
    mia.run("net", "leave", stdin="n\n", code=1)
    mia.run("net", "leave", stdin="", code=1)
    assert files(mia) == before
    assert "no network is called" in mia.run("net", "leave", "nowhere", "--yes", code=2).stderr
    left = mia.run("net", "leave", "friends", stdin="y\n")
    assert "members" in left.stderr
    assert mia.json("net", "list")["networks"] == []
    mia.run("net", "join", ticket)
    assert mia.json("inspect", "member")["key"] == key
    assert mia.json("net", "leave", "--yes") == {
        "schema": "net-leave/1",
        "name": "friends",
        "id": created.shown["id"],
    }


def test_show_has_these_fields_and_no_others(created: Created):
    shown = created.owner.json("net", "show")
    (seat,) = shown.pop("committee")
    assert set(shown) == {
        "schema",
        "id",
        "name",
        "kind",
        "epoch",
        "commit",
        "observers",
        "policy_digest",
        "state_root",
        "waits",
    }
    assert (shown["schema"], shown["id"]) == ("net/1", created.shown["id"])
    assert shown["policy_digest"] == created.shown["policy_digest"]
    assert set(seat) == {"node", "tee", "platform_id", "since_epoch", "last_round"}
    assert seat["node"] == created.shown["node"]
    assert seat["last_round"] > 0


def test_one_folder_is_prepared_for_several_networks(created: Created, tmp_path: Path):
    prepared = ("--data", str(tmp_path / "node"))
    nora = guest(created, "nora")
    made = [nora.json("net", "create", name, *prepared)["id"] for name in ("one", "two")]
    held = NodeHome(tmp_path / "node").prepared()
    assert sorted(network.hex() for network in held) == sorted(made)


def test_a_second_network_of_one_name_says_what_it_is_called_here(stranger: Member, tmp_path: Path):
    create = ("net", "create", "friends", "--data", str(tmp_path / "node"))
    first = stranger.run(*create).stderr
    assert ("is called" in first, "invite create\n" in first) == (False, True)
    second = stranger.run(*create).stderr
    assert "friends is called friends-2 on this machine" in second
    assert "invite create --network friends-2\n" in second


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--governor", "me"), "64 hexadecimal digits"),
        (("--governor", "00" * 31), "64 hexadecimal digits"),
        (("--governor", "aa" * 32, "--governor", "aa" * 32), "governors, once"),
        (("--governors-needed", "2"), "more than half"),
        (
            ("--governor", "aa" * 32, "--governor", "bb" * 32, "--governors-needed", "1"),
            "than half",
        ),
        (("--founders", "0"), "--founders"),
        (("--port", "70000"), "--port"),
    ],
)
def test_a_network_that_cannot_be_is_not_prepared(
    stranger: Member, tmp_path: Path, options: tuple[str, ...], said: str
):
    data = ("--data", str(tmp_path / "node"))
    assert said in stranger.run("net", "create", "club", *data, *options, code=2).stderr
    assert not (tmp_path / "node").exists()
    stranger.run("net", "create", "n" * 65, *data, code=2)
    assert not (tmp_path / "node").exists()


def test_several_governors_are_named_by_their_keys(stranger: Member, tmp_path: Path):
    others = [Member(tmp_path / name).json("inspect", "member")["key"] for name in ("p", "q")]
    own = stranger.json("inspect", "member")["key"]
    options = [option for key in (own, *others) for option in ("--governor", str(key))]
    shown = stranger.json("net", "create", "club", "--data", str(tmp_path / "node"), *options)
    assert (shown["governors"], shown["governors_needed"]) == ([own, *others], 2)
    assert shown["local_name"] == "club"
    away = Member(tmp_path / "server")
    data = ("--data", str(tmp_path / "other"))
    shown = away.json("net", "create", "club", *data, "--governor", str(own))
    assert shown["local_name"] is None, "whoever runs a node need not be a member"
    assert files(away) == {}
