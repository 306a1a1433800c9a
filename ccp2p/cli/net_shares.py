"""What opens a network's disks, and `ccp2p net recover --shares` for when nothing else does."""

from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session

if TYPE_CHECKING:
    from ccp2p.client.shares import Given
    from ccp2p.model.epoch import EpochRecord
    from ccp2p.model.genesis import Parameters

_SHORT = 16  # characters of a key that people compare


def at_rest_words(parameters: "Parameters", record: "EpochRecord") -> str:
    """What opens the disks of a network's nodes, and what that costs."""
    if parameters.at_rest == "self":
        return "self: each TEE opens its own disk, so a chip broken later opens what was on it"
    if not record.shares:
        return "group, but with one node it is self: its TEE opens its disk"
    return (
        "group: only running nodes have the key, so a chip broken later opens no old disk; after a "
        f"power cut everywhere {record.governor_threshold} of {len(record.governors)} governors "
        "must give their shares, and as many together could open a copied disk"
    )


async def give_shares(options: dict[str, Any]) -> None:
    """Give the chosen key's share to every seat that waits."""
    from ccp2p.client import shares
    from ccp2p.client.profile import Profile, default_folder

    governor = Profile(default_folder()).held_member(options["member"])
    async with session.open_network(options, every_node=True) as client:
        record = shares.newest_record(client)
        shares.own_share(record, governor)
        nodes = await shares.waiting(client, record)
        console.say(
            f"{len(nodes)} of {len(record.seats)} seats of epoch {record.epoch} wait for its "
            f"secret; with the shares of {record.governor_threshold} of {len(record.governors)} "
            "governors they open their disks and go on"
        )
        if not options["yes"]:
            click.confirm("Give them your share?", abort=True, err=True)
        given = await shares.give(nodes, record, governor)
    _report(given, options)


def _report(given: "list[Given]", options: dict[str, Any]) -> None:
    from ccp2p.model.errors import Fault, LocalFault

    taken = [one.answer for one in given if not isinstance(one.answer, Fault)]
    if not taken:
        refused = given[0].answer
        raise refused if isinstance(refused, Fault) else LocalFault("shares", "nobody took it")
    done = any(answer.held >= answer.needed for answer in taken)
    if options["as_json"]:
        console.emit(
            {
                "schema": "net-shares/1",
                "done": done,
                "held": max(answer.held for answer in taken),
                "needed": taken[0].needed,
                "nodes": [
                    {
                        "node": one.node.hex(),
                        "refused": str(one.answer) if isinstance(one.answer, Fault) else None,
                    }
                    for one in given
                ],
            }
        )
        return
    for one in given:
        word = str(one.answer) if isinstance(one.answer, Fault) else _word(one.answer)
        console.say(f"  {one.node.hex()[:_SHORT]}  {word}")
    if done:
        console.say("enough shares are there: the nodes open their disks and go on by themselves")
    else:
        lacking = taken[0].needed - max(answer.held for answer in taken)
        console.say(f"{lacking} more governor(s) have to run: ccp2p net recover --shares")


def _word(answer: Any) -> str:
    return f"holds {answer.held} of {answer.needed} shares"
