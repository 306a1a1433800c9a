"""Governors at work on real nodes: a policy, an upgrade of what runs, an eviction."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ccp2p.attestation.policy import simulated_policy
from ccp2p.model.genesis import policy_digest
from tests.cli.conftest import Member, NodeProcess, start_node
from tests.e2e.test_founding import eventually

OLD, NEW = "aa" * 32, "bb" * 32


def policy_file(folder: Path, *measurements: str) -> tuple[str, str]:
    """A policy that accepts these; its path and digest."""
    names = ", ".join(f'"{one}"' for one in measurements)
    text = f"[simulated]\nmeasurements = [{names}]\n"
    path = folder / f"policy-{len(list(folder.glob('policy-*')))}.toml"
    path.write_text(text)
    return str(path), policy_digest(text).hex()


class Group:
    """Four machines, and three governors of whom two must agree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: dict[int, NodeProcess] = {}
        self.governors = [Member(folder / name) for name in ("ann", "bea", "cid")]
        self.dan = Member(folder / "dan")
        self._began_s = time.monotonic()

    def start(self, number: int, measurement: str, *arguments: str, event: str = "ready") -> None:
        """Start a node, or start it again as another program."""
        options = ("--measurement", measurement, "--vendor", f"sim-{'abcd'[number]}")
        folder = self.folder / f"node-{number}"
        self.nodes[number] = start_node(folder, *options, *arguments, event=event)

    def show(self) -> dict[str, Any]:
        """The network, as the governor Ann sees it, once a node has time for her."""
        shown: list[Result] = []

        def is_shown() -> bool:
            shown.append(self.governors[0].attempt("net", "show", "--json"))
            return shown[-1].exit_code == 0

        eventually(is_shown)
        return json.loads(shown[-1].stdout)

    def committee(self) -> list[str]:
        """The nodes of the committee."""
        return [seat["node"] for seat in self.show()["committee"]]

    def machine_of(self, node: str) -> int:
        """The number of the machine that a node runs on; founders take seats as they come."""
        rows = self.governors[0].json("verify", "network")["nodes"]
        (vendor,) = (row["vendor"] for row in rows if row["node"] == node)
        return "abcd".index(vendor[-1])

    def found(self) -> None:
        """A network of four, of which all governors and Dan are members."""
        ann = self.governors[0]
        keys = [str(one.json("inspect", "member")["key"]) for one in self.governors]
        names = [word for key in keys for word in ("--governor", key)]
        data = ("--data", str(self.folder / "node-0"), "--measurement", OLD)
        size = ("--founders", "4", "--coin-length", "65536")
        created = ann.json("net", "create", "friends", *names, *size, *data)
        join = ("--join", str(created["node_ticket"]))
        self.start(0, OLD, event="founding")
        with ThreadPoolExecutor() as others:
            list(others.map(lambda number: self.start(number, OLD, *join), (1, 2, 3)))
        self.nodes[0].wait_for("ready")
        invite = str(ann.json("invite", "create", "--uses", "3")["ticket"])
        for one in (*self.governors[1:], self.dan):
            one.json("net", "join", invite)
        self.note("founded")

    def has_seats(self, count: int) -> None:
        """Wait until the committee has this size."""
        eventually(lambda: len(self.committee()) == count)
        self.note(f"{count} seats")

    def note(self, text: str) -> None:
        """For whoever reads the test's output."""
        print(f"{time.monotonic() - self._began_s:6.1f} s  {text}", flush=True)

    def agree(self, proposer: int, approver: int, *arguments: str) -> dict[str, Any]:
        """Two governors adopt an amendment; it, once an epoch with it has begun."""
        epoch = self.show()["epoch"]
        proposed = self.governors[proposer].json("net", *arguments)
        assert proposed["adopted"] is False
        name = str(proposed["amendment"])[:16]
        approved = self.governors[approver].json("net", "approve", name, "--yes")
        assert approved["adopted"] is True
        eventually(lambda: self.show()["epoch"] > epoch)
        self.note(f"epoch {epoch + 1} begins with what they agreed on")
        return approved


@contextmanager
def group(folder: Path) -> Iterator[Group]:
    made = Group(folder)
    try:
        made.found()
        yield made
    finally:
        for node in made.nodes.values():
            node.process.kill()
            node.process.wait(timeout=20)


@pytest.mark.timeout(300)
def test_governors_upgrade_what_runs_and_evict_and_everybody_can_check_it(tmp_path: Path):
    with group(tmp_path) as friends:
        ann, bea, cid = friends.governors
        first = policy_digest(simulated_policy(bytes.fromhex(OLD))).hex()
        assert friends.show()["policy_digest"] == first
        refused = friends.dan.process("net", "evict", friends.committee()[1])
        assert (refused.returncode, b"not a governor" in refused.stderr) == (6, True)

        both, both_digest = policy_file(tmp_path, OLD, NEW)
        friends.agree(0, 1, "propose", "--policy", both)
        assert friends.show()["policy_digest"] == both_digest
        assert len(friends.committee()) == 4

        for number in range(4):
            friends.nodes[number].stop()
            friends.start(number, NEW, event="floor")
            friends.note(f"node {number} runs the new program")
        new, new_digest = policy_file(tmp_path, NEW)
        friends.agree(1, 2, "propose", "--policy", new)
        shown = friends.show()
        assert (shown["policy_digest"], len(shown["committee"])) == (new_digest, 4)

        evicted = friends.committee()[3]
        machine = friends.machine_of(evicted)
        adopted = friends.agree(2, 0, "evict", evicted)
        assert "may fail or lie" in adopted["warnings"][0]
        assert evicted not in friends.committee()
        assert len(friends.committee()) == 3
        assert friends.nodes[machine].process.wait(timeout=60) == 0

        keys = [str(one.json("inspect", "member")["key"]) for one in friends.governors]
        for member in (cid, friends.dan):
            verified = partial(member.attempt, "verify", "network")
            eventually(lambda: verified().exit_code == 0)  # noqa: B023 - called here only
            checked = member.json("verify", "network")
            rows = [(row["verified"], row["measurement"]) for row in checked["nodes"]]
            assert rows == [(True, NEW)] * 3
            assert [one["approved_by"] for one in checked["amendments"]] == [
                [keys[0], keys[1]],
                [keys[1], keys[2]],
                [keys[0], keys[2]],
            ]
        told = bea.json("net", "policy")
        assert [one["policy_digest"] for one in told["history"]] == [both_digest, new_digest, None]
        assert told["history"][2]["evict"] == [evicted]
        assert told["policy"] == Path(new).read_text()
        assert ann.json("net", "proposals")["proposals"] == []

        ticket = str(ann.json("invite", "create", "--role", "node")["ticket"])
        chip = ("--measurement", NEW, "--vendor", "sim-e")
        late = start_node(tmp_path / "late", *chip, "--join", ticket)
        friends.nodes[4] = late
        friends.has_seats(4)
