"""Stories: what one node is told, and what it answers, as text that people can read.

A story file holds steps separated by blank lines. A step is commands, a line `----`, and the
answer. Commands: `new size=4 me=A [propose=no] [min= max= gc=]`; `draw <drawing>` and
`load <events> <drawing>` (blocks with envelopes) make blocks of other nodes; `receive <sender>
<blocks>`; `answer <sender> <blocks>` (of a fetch); `offer <events>`; `resumed <round>`; `tick`;
`restart`; `status`. `+<ms>` before a command lets that time pass first. Times in answers are
counted from the start; blocks are named as in drawings.
"""

from collections.abc import Callable
from pathlib import Path

from ccp2p.consensus.messages import (
    BlocksReceived,
    Fetch,
    Input,
    Output,
    PayloadOffered,
    Push,
    Recovered,
    Resumed,
    Tick,
)
from ccp2p.model.block import BlockReference, Payload, VerifiedBlock
from ccp2p.model.commit import Commit
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import Drawing
from tests.consensus.world import COIN, START_MS, consensus_of


def letter(seat: int | None) -> str:
    return "nobody" if seat is None else chr(65 + seat)


class Story:
    """One node under test and the drawing that it is part of."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.log: list[VerifiedBlock] = []
        self.commits: list[Commit] = []
        self._commands: dict[str, Callable[[list[str]], list[str]]] = {
            "new": self._new,
            "draw": self._draw,
            "load": self._load,
            "receive": lambda words: self._receive(words, solicited=False),
            "answer": lambda words: self._receive(words, solicited=True),
            "offer": lambda words: self._handle(PayloadOffered(tuple(map(str.encode, words)))),
            "resumed": lambda words: self._handle(Resumed(int(words[0]))),
            "tick": lambda words: self._handle(Tick()),
            "restart": self._restart,
            "status": self._status,
        }

    def tell(self, commands: list[str]) -> list[str]:
        """What the node answers to a step's commands."""
        answers: list[str] = []
        for command in commands:
            words = command.split()
            if words[0].startswith("+"):
                self.now_ms += int(words.pop(0))
            answers += self._commands[words[0]](words[1:])
        return answers or ["ok"]

    def _new(self, words: list[str]) -> list[str]:
        options = dict(word.split("=") for word in words)
        self._size = int(options["size"])
        self._me = ord(options["me"]) - 65
        self._propose = options.get("propose") != "no"
        self._parameters = Parameters(
            coin_length=COIN.length,
            min_round_delay_ms=int(options.get("min", 0)),
            max_round_delay_ms=int(options.get("max", 1000)),
            gc_depth=int(options.get("gc", 100)),
        )
        self._drawing = Drawing(self._size)
        self._core = consensus_of(self._size, self._me, self._parameters, may_propose=self._propose)
        return []

    def _restart(self, words: list[str]) -> list[str]:
        recovered = Recovered(tuple(self.log), tuple(self.commits))
        self._core = consensus_of(
            self._size, self._me, self._parameters, recovered, may_propose="floor" not in words
        )
        return []

    def _draw(self, words: list[str]) -> list[str]:
        self._drawing.draw(" ".join(words))
        return []

    def _load(self, words: list[str]) -> list[str]:
        envelopes = tuple(word.encode() for word in words[0].split(","))
        self._drawing.draw(" ".join(words[1:]), Payload(envelopes))
        return []

    def _receive(self, words: list[str], solicited: bool) -> list[str]:
        names = self._drawing.expand(" ".join(words[1:]))
        blocks = tuple(self._drawing[name] for name in names)
        return self._handle(BlocksReceived(ord(words[0]) - 65, blocks, solicited))

    def _status(self, words: list[str]) -> list[str]:
        core = self._core
        return [
            f"round {core.round} gc {core.gc_round} missing {core.missing} "
            f"suspended {core.suspended} pending {core.pending_payload[0]}"
        ]

    def _handle(self, event: Input) -> list[str]:
        output = self._core.handle(event, self.now_ms)
        for block in output.persist:
            self._drawing.adopt(block)
        self.log.extend(output.persist)
        self.commits.extend(one.commit for one in output.commits)
        return self._describe(output)

    def _describe(self, output: Output) -> list[str]:
        lines = []
        if output.persist:
            lines.append(f"persist {self._names(one.reference for one in output.persist)}")
        lines += [self._describe_push(push) for push in output.send]
        lines += [self._describe_fetch(fetch) for fetch in output.fetch]
        for one in output.commits:
            commit = one.commit
            leader = self._drawing.name(commit.leader)
            lines.append(f"commit {commit.index} of {leader}: {self._names(commit.blocks)}")
        lines += [f"evidence against {letter(one.author)}" for one in output.evidence]
        lines += [f"fault of {letter(who)}: {fault.code}" for who, fault in output.faults]
        if output.refused:
            lines.append(f"refused {output.refused}")
        if output.wake_ms is not None:
            lines.append(f"wake at {output.wake_ms - START_MS}")
        return lines

    def _describe_push(self, push: Push) -> str:
        to = "all" if push.peer is None else letter(push.peer)
        described = []
        for block in push.blocks:
            parents = [one for one in block.header.parents if one.round]
            events = b" ".join(block.payload.envelopes).decode()
            name = self._drawing.name(block.reference)
            described.append(f"{name}[{self._names(parents)}]{events and f' with {events}'}")
        return f"send {to} {' '.join(described)}"

    def _describe_fetch(self, fetch: Fetch) -> str:
        above = f" above {' '.join(map(str, fetch.above))}" if fetch.above else ""
        names = self._names(fetch.references)
        return f"fetch from {letter(fetch.peer)}{names and f' {names}'}{above}"

    def _names(self, references) -> str:
        return " ".join(self._name(reference) for reference in references)

    def _name(self, reference: BlockReference) -> str:
        return self._drawing.name(reference)


def run(path: Path) -> str:
    """The story of `path` as it goes with this code; equal to the file while nothing changed."""
    story = Story()
    told = []
    for part in path.read_text().split("\n\n"):
        lines = part.strip("\n").split("\n")
        comments = [line for line in lines if line.startswith("#")]
        if "----" not in lines:
            told.append("\n".join(comments))
            continue
        commands = [line for line in lines[: lines.index("----")] if line not in comments]
        told.append("\n".join([*comments, *commands, "----", *story.tell(commands)]))
    return "\n\n".join(told) + "\n"
