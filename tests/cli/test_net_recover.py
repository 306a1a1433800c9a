"""`net recover` before it comes to a recovery: what it refuses, and what it warns of."""

from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from ccp2p.cli.net_recover import _approve_once, _digest
from ccp2p.client import recovery
from ccp2p.client.profile import Profile
from ccp2p.client.recovery import Approved, format_plan, parse_plan
from ccp2p.model import codec
from ccp2p.model.errors import MemberFault
from tests.cli.conftest import Member
from tests.membership.test_recovery import PLAN, approved

FILE = Approved(codec.encode(PLAN), approved(PLAN, (0,)))


def test_a_plan_travels_as_text():
    text = format_plan(FILE)
    assert text.startswith("-----BEGIN CCP2P RECOVERY-----\n")
    assert parse_plan(text) == FILE
    for bad in ("", text[:-40], text.replace("RECOVERY", "RECEIPT"), text.replace("\n", "\nA", 1)):
        with pytest.raises(MemberFault):
            parse_plan(bad)


def test_a_network_that_lives_is_not_recovered(ann: Member):
    done = ann.run("net", "recover", "--yes", code=1)
    assert "does not wait" in done.stderr


def test_a_plan_of_another_network_is_refused(ann: Member, tmp_path: Path):
    path = tmp_path / "plan.txt"
    path.write_text(format_plan(FILE))
    done = ann.run("net", "recover", str(path), "--yes", code=1)
    assert "does not follow the newest record" in done.stderr


def test_a_node_to_keep_that_does_not_answer_is_bad_usage(ann: Member):
    done = ann.run("net", "recover", "--keep", "zz", code=2)
    assert "'zz' is the start of 0 answering nodes' keys" in done.stderr


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_who_does_not_say_yes_ends_it(ann: Member, monkeypatch, answer: str):
    async def ask(*_: object) -> None:
        click.confirm("Approve this plan?", abort=True, err=True)

    monkeypatch.setattr(recovery, "survey", ask)
    assert "Aborted!" in ann.run("net", "recover", stdin=answer, code=1).stderr


def test_what_is_no_plan_is_bad_usage(ann: Member, tmp_path: Path):
    path = tmp_path / "plan.txt"
    path.write_text("no plan")
    ann.run("net", "recover", str(path), code=2)
    ann.run("net", "recover", str(tmp_path / "missing"), code=2)
    ann.run("net", "recover", str(path), "--keep", "ab", code=2)


def test_a_governor_approves_one_plan_an_epoch_or_says_that_the_first_is_given_up(tmp_path: Path):
    profile = Profile(tmp_path)
    other = replace(PLAN, close_commit=PLAN.close_commit - 1)
    _approve_once(profile, PLAN, replaces=False)
    profile.keep_approved_plan(PLAN.network, PLAN.epoch, _digest(PLAN))
    _approve_once(profile, PLAN, replaces=False)
    with pytest.raises(MemberFault, match="the network forks"):
        _approve_once(profile, other, replaces=False)
    _approve_once(profile, other, replaces=True)
    _approve_once(profile, replace(other, epoch=2), replaces=False)
