"""`ccp2p inspect receipt`: what a receipt proves, checked offline."""

import time
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session

if TYPE_CHECKING:
    from ccp2p.execution.receipts import Receipt, Verification

_SHOWN_CHARS = 200  # of one part of an event; --json shows all


@click.command("receipt")
@click.argument("file", type=click.File("rb"))
@click.option("--network", help="The network's id or local name. [default: any joined one]")
@click.option(
    "--ask",
    is_flag=True,
    help="Ask the network too whether a recovery lost what the receipt proves.",
)
@click.option("--allow-simulated", is_flag=True, envvar="CCP2P_ALLOW_SIMULATED", hidden=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect_receipt(
    file: Any, network: str | None, ask: bool, allow_simulated: bool, as_json: bool
) -> None:
    """Check the receipt in FILE (`-`: stdin) offline, and show what it proves.

    Exit code 0 when it holds, 4 when it does not, 2 when FILE is no receipt or nothing says which
    network it should be of.
    """
    from ccp2p.client.receipts import verify
    from ccp2p.execution.receipts import parse_receipt
    from ccp2p.model.errors import Fault
    from ccp2p.model.genesis import network_id

    try:
        receipt = parse_receipt(file.read().decode("utf-8", "replace"))
        named = network_id(receipt.genesis)
        name, expected = _expected(network, named)
        found = verify(receipt, expected or named)
        if ask and found.passed:
            _ask(receipt, found, name, allow_simulated)
    except Fault as fault:
        console.fail(fault)
    shown = _as_json(receipt, found, name, named, expected is not None)
    if as_json:
        console.emit(shown)
    else:
        _print(shown)
    if not found.passed:
        raise SystemExit(console.EXIT_ATTESTATION)
    if expected is None:
        console.say(
            f"it is of network {named.hex()}: no such network is joined here, so pass that id with "
            "--network if it is the one that you mean"
        )
        raise SystemExit(console.EXIT_USAGE)


def _ask(receipt: "Receipt", found: "Verification", name: str, allow_simulated: bool) -> None:
    """Hold the receipt against the chain of records that a node of the network shows."""
    from ccp2p.execution.receipts import check_history

    if not name:
        raise click.BadParameter("only a joined network can be asked", param_hint="--ask")
    options = {"network": name, "allow_simulated": allow_simulated}

    async def history() -> Any:
        async with session.open_network(options, whole_chain=True) as client:
            return client.verified.records

    check_history(found, receipt, console.run(history))


def _expected(wanted: str | None, named: bytes) -> tuple[str, bytes | None]:
    """(local name, id) of the network that a receipt should be of; None when nothing says."""
    from ccp2p.client.profile import Profile, default_folder

    networks = Profile(default_folder()).networks()
    joined = {ticket.network: name for name, ticket in networks.items()}
    if wanted is None:
        return joined.get(named, ""), named if named in joined else None
    if wanted in networks:
        return wanted, networks[wanted].network
    try:
        identifier = bytes.fromhex(wanted)
    except ValueError:
        identifier = b""
    if len(identifier) != 32:
        raise click.BadParameter(
            f"{wanted!r} is neither a joined network nor an id of 64 hexadecimal digits"
        )
    return joined.get(identifier, ""), identifier


def _as_json(
    receipt: "Receipt", found: "Verification", name: str, named: bytes, is_known: bool
) -> dict[str, Any]:
    from msgspec.structs import asdict

    checkpoint, outcome = receipt.certified.checkpoint, receipt.outcome
    shown = {
        "schema": "receipt/1",
        "valid": found.passed and is_known,
        "network": named.hex(),
        "name": name or (found.genesis.name if found.genesis else None),
        "simulated": None,
        "kind": None,
        "member": receipt.member.hex(),
        "sequence": receipt.sequence,
        "event": outcome.event.hex(),
        "asked": None,
        "body_hex": receipt.body.hex(),
        "commit": outcome.commit,
        "position": outcome.position,
        "status": outcome.status,
        "outcome_hex": outcome.body.hex(),
        "checkpoint": {
            key: part.hex() if isinstance(part, bytes) else part
            for key, part in asdict(checkpoint).items()
        },
        "committee": found.committee.size if found.committee else None,
        "quorum": found.committee.quorum if found.committee else None,
        "votes": _votes(receipt, found),
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail}
            for check in found.checks
        ],
    }
    if found.genesis is not None:
        shown |= _of_app(receipt, found.genesis)
    return shown


def _of_app(receipt: "Receipt", genesis: Any) -> dict[str, Any]:
    """What the event asked, and the value that an ordered read found."""
    from ccp2p.attestation.policy import parse_policy
    from ccp2p.client import receipts
    from ccp2p.model.errors import Fault

    shown: dict[str, Any] = {}
    try:
        shown["kind"] = genesis.kind
        shown["simulated"] = parse_policy(genesis.policy).is_simulated
        shown["asked"] = asked = receipts.asked(receipt, genesis.app)
        if (genesis.app, asked["operation"], receipt.outcome.status) == ("kv", "read", "ok"):
            value = receipts.value(receipt)
            shown["value"] = None if value is None else value.decode("utf-8", "replace")
            shown["value_hex"] = None if value is None else value.hex()
    except Fault:
        pass  # whatever is malformed fails a check, or was refused by the app as malformed
    return shown


def _votes(receipt: "Receipt", found: "Verification") -> list[dict[str, Any]]:
    seats = found.committee.seats if found.committee else ()
    return [
        {
            "seat": seat,
            "node": seats[seat].node.hex() if 0 <= seat < len(seats) else None,
            "vendor": seats[seat].vendor if 0 <= seat < len(seats) else None,
        }
        for seat, _ in receipt.certified.signatures
    ]


def _print(shown: dict[str, Any]) -> None:
    if shown["simulated"]:
        session.warn_once(shown["kind"])
    checkpoint = shown["checkpoint"]
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(checkpoint["ledger_time_ms"] / 1000))
    console.show(f"network     {shown['name'] or '?'} {shown['network']}")
    console.show(f"member      {shown['member']}, event number {shown['sequence']}")
    console.show(f"event       {shown['event']}")
    for part, value in (shown["asked"] or {}).items():
        console.show(f"  {part}: {_cut(str(value))}")
    console.show(f"outcome     {shown['status']}, commit {shown['commit']}.{shown['position']}")
    if "value" in shown:
        value = shown["value"]
        console.show("  no such key" if value is None else f"  value: {_cut(value)}")
    elif shown["status"] != "ok":
        console.show(f"  {_cut(bytes.fromhex(shown['outcome_hex']).decode('utf-8', 'replace'))}")
    console.show(
        f"checkpoint  epoch {checkpoint['epoch']}, commit {checkpoint['commit']}, ledger time "
        f"{at} UTC"
    )
    console.show(f"  state root {checkpoint['state_root']}")
    console.show(f"votes       {len(shown['votes'])} of {shown['committee'] or '?'} seats")
    for vote in shown["votes"]:
        console.show(f"  seat {vote['seat']}: {vote['node'] or '?'} {vote['vendor'] or ''}")
    for check in shown["checks"]:
        word = "holds" if check["passed"] else "FAILS"
        console.show(f"{word}       {check['name']}: {check['detail']}")
    console.say("the receipt holds" if shown["valid"] else "THE RECEIPT PROVES NOTHING")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}... ({len(text)} in all)"
