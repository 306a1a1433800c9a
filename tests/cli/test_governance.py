"""What a governor says and sees, in a network of one node that it governs alone."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ccp2p.attestation.measurement import measurement
from ccp2p.model.genesis import policy_digest
from tests.cli.conftest import Member, NodeProcess, start_node

PROGRAM = measurement().hex()


@dataclass
class Governed:
    """A network of one node, its governor Ann, and Bob, who is a member."""

    ann: Member
    bob: Member
    node: NodeProcess
    folder: Path

    def policy(self, text: str) -> str:
        """A policy's file."""
        path = self.folder / f"{os.urandom(4).hex()}.toml"
        path.write_text(text)
        return str(path)

    def epoch(self) -> int:
        """The newest epoch."""
        return int(str(self.ann.json("net", "show")["epoch"]))

    def passes(self, epoch: int) -> None:
        """Wait until an epoch is over."""
        deadline = time.monotonic() + 60
        while self.epoch() <= epoch:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    folder = tmp_path_factory.mktemp("governed")
    ann, bob = Member(folder / "ann"), Member(folder / "bob")
    data = ("--data", str(folder / "node"), "--coin-length", "65536")
    ann.json("net", "create", "friends", *data)
    node = start_node(folder / "node")
    bob.run("net", "join", str(ann.json("invite", "create")["ticket"]))
    yield Governed(ann, bob, node, folder)
    assert node.stop() == 0


def test_a_network_that_nobody_changed_says_so(governed: Governed):
    told = governed.bob.json("net", "policy")
    assert told["schema"] == "net-policy/1"
    assert (told["history"], told["governors_needed"]) == ([], 1)
    assert policy_digest(str(told["policy"])).hex() == told["policy_digest"]
    said = governed.bob.run("net", "policy")
    assert said.stdout == str(told["policy"])
    assert "governors changed nothing" in said.stderr
    proposals = governed.bob.json("net", "proposals")
    assert (proposals["schema"], proposals["proposals"]) == ("net-proposals/1", [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tdx]\nany_measurement = true\n", "simulated for good"),
        ("[simulated\n", "not TOML"),
        ("[simulated]\n", "name its measurements"),
        ("", "propose what?"),
    ],
)
def test_a_policy_that_may_not_come_is_refused_with_the_reason(
    governed: Governed, text: str, said: str
):
    options = ("--policy", governed.policy(text)) if text else ()
    result = governed.ann.run("net", "propose", *options, code=2)
    assert said in result.stderr
    assert governed.ann.json("net", "proposals")["proposals"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("evict", "zz"), 2, "at least 6 digits"),
        (("evict", "0" * 64), 2, "there is none"),
        (("approve", "0" * 16, "--yes"), 2, "there is none"),
        (("propose", "--governors-needed", "2"), 2, "name all of them"),
        (("propose", "--governor", "abc"), 2, "64 hexadecimal digits"),
        (("propose", "--governor", "aa" * 32, "--governors-needed", "2"), 2, "more than half"),
    ],
)
def test_a_command_that_cannot_be_meant_says_why(
    governed: Governed, arguments: tuple[str, ...], code: int, said: str
):
    assert said in governed.ann.run("net", *arguments, code=code).stderr


def test_only_governors_propose(governed: Governed):
    path = governed.policy("[simulated]\nany_measurement = true\n")
    said = governed.bob.run("net", "propose", "--policy", path, code=6).stderr
    assert "not a governor's" in said


def test_amendments_come_in_one_after_the_other_and_everybody_sees_whose_they_are(
    governed: Governed,
):
    ann, bob = governed.ann, governed.bob
    keys = [str(one.json("inspect", "member")["key"]) for one in (ann, bob)]
    text = f'[simulated]\nmeasurements = ["{PROGRAM}", "{"bb" * 32}"]\n'
    before = governed.epoch()
    proposed = ann.json("net", "propose", "--policy", governed.policy(text))
    assert (proposed["schema"], proposed["adopted"]) == ("net-propose/1", True)
    assert proposed["approved_by"] == [keys[0]]
    governed.passes(before)

    before = governed.epoch()
    names = ("--governor", keys[0], "--governor", keys[1])
    elected = ann.run("net", "propose", *names, "--governors-needed", "2").stderr
    assert "adopted: it comes into force with the next epoch" in elected
    governed.passes(before)

    bobs = bob.json("net", "propose", "--policy", governed.policy(text + "# again\n"))
    assert (bobs["adopted"], bobs["approvals_needed"]) == (False, 2)
    name = str(bobs["amendment"])[:12]
    listed = bob.run("net", "proposals")
    assert ("\n# again\n" in listed.stderr, listed.stdout) == (True, "")
    assert f"approved by {keys[1]}" in listed.stderr
    asked = ann.run("net", "approve", name, stdin="n\n", code=1)
    assert "\n# again\n" in asked.stderr
    assert asked.stderr.count("NOT CONFIDENTIAL") == 1
    before = governed.epoch()
    answered = ann.run("net", "approve", name, "--json", stdin="y\n")
    assert answered.stderr.count("NOT CONFIDENTIAL") == 1
    approved = json.loads(answered.stdout)
    assert (approved["schema"], approved["adopted"]) == ("net-approve/1", True)
    governed.passes(before)

    told: dict[str, Any] = bob.json("net", "policy")
    assert told["policy"] == text + "# again\n"
    assert (told["governors"], told["governors_needed"]) == (keys, 2)
    assert [one["approved_by"] for one in told["history"]] == [[keys[0]], [keys[0]], keys]
    assert [one["epoch"] for one in told["history"]] == [before - 2, before - 1, before]
    checked: dict[str, Any] = bob.json("verify", "network")
    assert checked["amendments"] == told["history"]
    assert checked["policy_digest"] == told["policy_digest"]
    said = bob.run("verify", "network").stderr
    assert "2 governors, of whom 2 were needed" in said
    shown = bob.json("net", "show")
    assert shown["policy_digest"] == told["policy_digest"]


def test_a_node_under_another_policy_starts_again_and_is_joined(governed: Governed):
    """Its folder holds the policy in force, and a newcomer's ticket pins the founding's alone."""
    governed.node.stop()
    governed.node = start_node(governed.folder / "node")
    late = Member(governed.folder / "late")
    late.run("net", "join", str(governed.bob.json("invite", "create")["ticket"]))
    assert late.json("net", "policy")["governors_needed"] == 2
