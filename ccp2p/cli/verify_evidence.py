"""`ccp2p verify evidence` and `ccp2p verify samples`: judge evidence offline.

Exit codes: 0 accepted (or all as expected), 4 refused, 1 a sample differs, 2 usage.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccp2p.cli.console import EXIT_ATTESTATION, EXIT_FAILED, echo, emit, fail, show_table
from ccp2p.model.errors import Fault, MemberFault

if TYPE_CHECKING:
    from ccp2p.attestation.policy import Policy
    from ccp2p.attestation.samples import Result
    from ccp2p.attestation.verdict import Verdict

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_TEES = ("sev-snp", "tdx", "sgx", "aws-nitro", "arm-cca", "simulated")
_COLOURS = {"ok": "green", "reject": "red", "policy-reject": "red"}


@click.command("evidence")
@click.argument("file", type=_FILE)
@click.option("--tee", type=click.Choice(_TEES), help="What made it; detected when not given.")
@click.option(
    "--endorsement",
    "endorsements",
    type=_FILE,
    multiple=True,
    help="A certificate, chain, revocation list or collateral. Give it as often as needed.",
)
@click.option(
    "--policy",
    "policy_file",
    type=_FILE,
    help="The policy; without one, any program that is genuine and current.",
)
@click.option("--report-data", metavar="HEX", help="What the evidence must be bound to.")
@click.option("--platform-key", type=_FILE, help="An Arm CCA platform key to trust.")
@click.option("--at", metavar="RFC3339", help="The time to judge for; now when not given.")
@click.option(
    "--ear",
    "node_folder",
    type=_FOLDER,
    help="Print an EAT attestation result, signed by the key of the node in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def evidence_command(
    file: Path,
    tee: str | None,
    endorsements: tuple[Path, ...],
    policy_file: Path | None,
    report_data: str | None,
    platform_key: Path | None,
    at: str | None,
    node_folder: Path | None,
    as_json: bool,
) -> None:
    """Judge evidence of a TEE, offline: exit 0 when it is accepted, 4 when it is refused."""
    from ccp2p.attestation.inputs import read_endorsement, read_evidence, read_file
    from ccp2p.attestation.verify import verify

    try:
        policy = read_policy(policy_file, platform_key)
        verdict = verify(
            read_evidence(read_file(file)),
            tuple(read_endorsement(read_file(path)) for path in endorsements),
            policy,
            _time(at),
            tee=tee,
            report_data=_report_data(report_data),
        )
        result = _attestation_result(verdict, policy, node_folder) if node_folder else None
    except Fault as fault:
        fail(fault)
    if as_json:
        emit(verdict.as_json() | ({"ear": result} if result else {}))
    elif result:
        echo(result)
    else:
        _print_verdict(verdict)
    if not verdict.accepted:
        raise SystemExit(EXIT_ATTESTATION)


@click.command("samples")
@click.argument("directory", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def samples_command(directory: Path, as_json: bool) -> None:
    """Judge all samples of the manifests in DIRECTORY; exit 1 when a verdict is not as expected."""
    from ccp2p.attestation.samples import check_samples

    try:
        results = list(check_samples(directory))
    except MemberFault as fault:
        fail(fault)
    different = [result for result in results if not result.agrees]
    if as_json:
        emit(
            {
                "schema": "samples/1",
                "total": len(results),
                "different": len(different),
                "samples": [_sample_json(result, directory) for result in results],
            }
        )
    else:
        _print_results(results, directory)
    if different:
        raise SystemExit(EXIT_FAILED)


def read_policy(policy_file: Path | None, platform_key: Path | None = None) -> "Policy":
    """The policy in a file, or the default; MemberFault when file or key cannot be understood."""
    from ccp2p.attestation.inputs import read_file
    from ccp2p.attestation.platform_key import read_platform_key
    from ccp2p.attestation.policy import default_policy, parse_policy, trusting_platform_keys

    policy = default_policy()
    if policy_file is not None:
        try:
            policy = parse_policy(policy_file.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise MemberFault("policy", f"{policy_file} is not text") from None
    if platform_key is None:
        return policy
    return trusting_platform_keys(policy, (read_platform_key(read_file(platform_key)),))


def _attestation_result(verdict: "Verdict", policy: "Policy", folder: Path) -> str:
    from ccp2p.attestation.ear import attestation_result
    from ccp2p.node.setup import identity_in

    return attestation_result(verdict, identity_in(folder).signing, policy.digest, _time(None))


def _time(text: str | None) -> int:
    import time

    from ccp2p.attestation.samples import parse_time

    return int(time.time()) if text is None else parse_time(text)


def _report_data(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise MemberFault("report-data", "report data is given in hexadecimal") from None


def _sample_json(result: "Result", directory: Path) -> dict[str, object]:
    return {
        "file": str(result.path.relative_to(directory)),
        "tee": result.sample.tee,
        "expected": result.sample.expect,
        "got": result.verdict.status,
        "expected_tcb_status": result.sample.tcb_status or None,
        "tcb_status": result.verdict.tcb_status or None,
        "reasons": list(result.verdict.reasons),
    }


def _print_verdict(verdict: "Verdict") -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    colour = _COLOURS.get(verdict.status, "yellow")
    word = "accepted" if verdict.accepted else "REFUSED"
    table.add_row("verdict", f"[bold {colour}]{word}[/] ({verdict.status})")
    table.add_row("TEE", f"{verdict.tee} ({verdict.vendor or 'unknown vendor'})")
    for reason in verdict.reasons:
        table.add_row("reason", _plain(reason))
    for note in verdict.notes:
        table.add_row("note", _plain(note))
    table.add_row("measurement", verdict.measurement.hex() or "-")
    for name, value in verdict.registers:
        if any(value):
            table.add_row(name, value.hex())
    table.add_row("report data", verdict.report_data.hex() or "-")
    table.add_row("platform id", verdict.platform_id.hex() or "no hardware id")
    if verdict.tcb_status:
        table.add_row("TCB status", " ".join((verdict.tcb_status, *verdict.advisories)))
    for name, part in verdict.tcb:
        table.add_row(f"TCB {_plain(name)}", _plain(str(part)))
    table.add_row("valid", f"{_moment(verdict.valid_from)} to {_moment(verdict.valid_until)}")
    show_table(table)


def _print_results(results: "list[Result]", directory: Path) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("sample", overflow="fold")
    for heading in ("TEE", "expected", "got", ""):
        table.add_column(heading, no_wrap=True)
    for result in results:
        mark = "[green]same[/]" if result.agrees else "[bold red]DIFFERENT[/]"
        name = _plain(str(result.path.relative_to(directory)))
        expected, got = str(result.sample.expect), str(result.verdict.status)
        if expected == got and not result.agrees:
            expected, got = result.sample.tcb_status, result.verdict.tcb_status or "no TCB status"
        table.add_row(name, result.sample.tee, expected, got, mark)
    show_table(table)
    different = sum(not result.agrees for result in results)
    echo(f"{len(results)} samples, {different} different")


def _plain(text: str) -> str:
    """Text of strangers for a table: no markup, no control characters."""
    from rich.markup import escape

    return escape("".join(character if character.isprintable() else "?" for character in text))


def _moment(seconds: int | None) -> str:
    from datetime import UTC, datetime

    if seconds is None:
        return "any time"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
