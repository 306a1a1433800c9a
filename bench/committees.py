"""How often a large mesh draws a bad committee, beside the hypergeometric odds.

    PYTHONPATH=. python bench/committees.py bench/results/committees.jsonl

One line of JSON for each setting; settings that the file has are not run again. Then it draws the
picture beside it. Committees of one seed resemble each other (two thirds stay), so the interval of
95% is from the seeds' shares, which are independent.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ccp2p.membership.roster import faulty_of
from ccp2p.simulator.committees import Setting, committees, hypergeometric

WARM_EPOCHS = 10  # until patient nodes have the seats that they will have


def settings() -> Iterator[tuple[str, Setting, int, int]]:
    """Name, setting, seeds, epochs of each seed."""
    for seats, seeds, epochs in ((10, 240, 200), (25, 60, 150), (50, 40, 60), (200, 10, 20)):
        yield "an hour", Setting(1_000, seats), seeds, epochs
    for seats in (10, 25, 50):
        yield "patient", Setting(1_000, seats, is_patient=True), 40, 60
    yield "patient", Setting(1_000, 200, is_patient=True), 6, 10
    for seats, seeds, epochs in ((10, 40, 60), (25, 40, 60), (50, 20, 40), (200, 6, 10)):
        yield "unnoticed", Setting(1_000, seats, is_noticed=False), seeds, epochs
        quick = Setting(1_000, seats, churn=0.2 / 6, is_noticed=False)
        yield "unnoticed, ten minutes", quick, seeds, epochs
    yield "best of 2^k", Setting(1_000, 10, chooses=True), 20, 30
    yield "best of 2^k", Setting(1_000, 25, chooses=True), 10, 20
    yield "cap f", Setting(1_000, 25, vendors="aaaabbbccd", vendor_cap="f"), 40, 60
    for seats, seeds, epochs in ((10, 40, 40), (25, 40, 20), (200, 10, 5)):
        yield "an hour", Setting(10_000, seats), seeds, epochs


def measure(name: str, setting: Setting, seeds: int, epochs: int) -> dict[str, Any]:
    """What the committees of all seeds were."""
    held: Counter[int] = Counter()
    bad, halting, new = [], [], 0
    for seed in range(seeds):
        drawn = list(islice(committees(setting, seed), WARM_EPOCHS, WARM_EPOCHS + epochs))
        held.update(one.hostile for one in drawn)
        bad.append(mean(one.is_bad for one in drawn))
        halting.append(mean(one.may_halt for one in drawn))
        new = max(new, *(one.new for one in drawn))
    hostile = round(setting.nodes * setting.hostile)
    odds = hypergeometric(setting.nodes, hostile, setting.seats)
    return {
        "name": name,
        "setting": setting._asdict(),
        "seeds": seeds,
        "committees": seeds * epochs,
        "bad": sum(count for many, count in held.items() if many > faulty_of(setting.seats)),
        "bad_share": mean(bad),
        "bad_interval": 1.96 * stdev(bad) / seeds**0.5,
        "hypergeometric": sum(odds[faulty_of(setting.seats) + 1 :]),
        "hostile_mean": sum(many * count for many, count in held.items()) / held.total(),
        "halting_share": mean(halting),
        "most_new": new,
        "held": [held[many] / held.total() for many in range(setting.seats + 1)],
        "odds": odds,
    }


def picture(rows: list[dict[str, Any]]) -> str:
    """An SVG: bars are measured, dots the hypergeometric odds, a red line stands after f."""
    shown = [row for row in rows if row["name"] in ("an hour", "patient")]
    parts = []
    for number, row in enumerate(shown):
        left, base = 40 + number % 4 * 260, 190 + number // 4 * 220
        setting, seats = row["setting"], row["setting"]["seats"]
        most = min(seats, max(faulty_of(seats) + 2, seats * 2 // 5))
        step = 220 / (most + 1)
        top = max(*row["held"], *row["odds"])
        title = f"{row['name']}: {setting['nodes']:,} nodes, {seats} seats"
        parts.append(f'<text x="{left}" y="{base - 160}">{title}</text>')
        for many in range(most + 1):
            x, height = left + many * step, 140 * row["held"][many] / top
            parts.append(
                f'<rect x="{x:.1f}" y="{base - height:.1f}" width="{step * 0.8:.1f}" '
                f'height="{height:.1f}" fill="#4878b0"/>'
            )
            y = base - 140 * row["odds"][many] / top
            parts.append(f'<circle cx="{x + step * 0.4:.1f}" cy="{y:.1f}" r="2"/>')
        x = left + (faulty_of(seats) + 0.9) * step
        parts.append(
            f'<line x1="{x:.1f}" y1="{base - 140}" x2="{x:.1f}" y2="{base}" stroke="#c44e52"/>'
        )
        parts += [
            f'<text x="{left + many * step:.1f}" y="{base + 14}">{many}</text>'
            for many in range(0, most + 1, max(1, most // 6))
        ]
    rows_high = (len(shown) + 3) // 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1080" height="{rows_high * 220 + 20}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        + "\n".join(parts)
        + "</svg>\n"
    )


def main() -> None:
    """Run what the file lacks, and draw."""
    path = Path(sys.argv[1])
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = [(row["name"], row["setting"]) for row in rows]
    for name, setting, seeds, epochs in settings():
        if (name, setting._asdict()) not in done:
            rows.append(measure(name, setting, seeds, epochs))
            with path.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
    path.with_suffix(".svg").write_text(picture(rows))


if __name__ == "__main__":
    main()
