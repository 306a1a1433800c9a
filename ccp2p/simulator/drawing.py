"""Pictures as SVG text: a DAG, and curves of latencies."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from ccp2p.model.block import VerifiedBlock

_STEP, _ROW, _LEFT, _TOP = 44, 56, 220, 30
_COLORS = ("#4363d8", "#e6194b", "#3cb44b", "#f58231", "#911eb4", "#46a0a0", "#a9a955", "#808080")


def dag_svg(
    blocks: Sequence[VerifiedBlock], names: Sequence[str], leaders: Collection[bytes]
) -> str:
    """Rounds to the right, one row an author; `leaders` (digests) are filled.

    Blocks of one slot stand below each other, in red: their author equivocated.
    """
    if not blocks:
        return _svg(300, 40, ['<text x="10" y="25">no blocks</text>'])
    first = min(block.reference.round for block in blocks)
    last = max(block.reference.round for block in blocks)
    places: dict[bytes, tuple[int, int]] = {}
    slots: dict[tuple[int, int], int] = {}
    for block in blocks:
        reference = block.reference
        slot = (reference.round, reference.author)
        nth = slots[slot] = slots.get(slot, 0) + 1
        x = _LEFT + (reference.round - first) * _STEP
        places[reference.digest] = (x, _TOP + 20 + reference.author * _ROW + (nth - 1) * 14)
    parts = [
        f'<text x="4" y="{_TOP + 24 + seat * _ROW}">{escape(name[:34])}</text>'
        for seat, name in enumerate(names)
    ]
    parts += [
        f'<text x="{_LEFT + (round_ - first) * _STEP - 6}" y="14">{round_}</text>'
        for round_ in range(first, last + 1)
    ]
    parts += list(_edges(blocks, places))
    parts += list(_dots(blocks, places, slots, leaders))
    return _svg(_LEFT + (last - first + 1) * _STEP, _TOP + len(names) * _ROW + 20, parts)


def _edges(
    blocks: Iterable[VerifiedBlock], places: Mapping[bytes, tuple[int, int]]
) -> Iterable[str]:
    for block in blocks:
        x, y = places[block.reference.digest]
        for number, parent in enumerate(block.header.parents):
            if parent.digest in places:
                to_x, to_y = places[parent.digest]
                color = "#555" if number == 0 else "#ccc"
                yield f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="{color}"/>'


def _dots(
    blocks: Iterable[VerifiedBlock],
    places: Mapping[bytes, tuple[int, int]],
    slots: Mapping[tuple[int, int], int],
    leaders: Collection[bytes],
) -> Iterable[str]:
    for block in blocks:
        reference = block.reference
        x, y = places[reference.digest]
        color = "#e6194b" if slots[reference.round, reference.author] > 1 else "#4363d8"
        fill = color if reference.digest in leaders else "white"
        title = f"{reference.round}/{reference.author} {reference.digest.hex()[:12]}"
        yield (
            f'<circle cx="{x}" cy="{y}" r="6" fill="{fill}" stroke="{color}">'
            f"<title>{title}</title></circle>"
        )


def latency_svg(curves: Mapping[str, Sequence[int]]) -> str:
    """Cumulative curves of latencies in microseconds, one a name: the share against time."""
    shown = {name: sorted(values) for name, values in curves.items() if values}
    if not shown:
        return _svg(300, 40, ['<text x="10" y="25">no latencies</text>'])
    tops = [values[min(len(values) - 1, len(values) * 99 // 100)] for values in shown.values()]
    width, height, most = 640, 320, max(tops)
    parts = [f'<rect x="50" y="10" width="{width}" height="{height}" fill="none" stroke="#888"/>']
    for tenth in range(0, 11, 2):
        x, y = 50 + width * tenth // 10, 10 + height - height * tenth // 10
        parts.append(f'<text x="8" y="{y + 4}">{tenth * 10}%</text>')
        label = most * tenth // 10_000
        parts.append(f'<text x="{x - 12}" y="{height + 26}">{label} ms</text>')
    for number, (name, values) in enumerate(shown.items()):
        color = _COLORS[number % len(_COLORS)]
        points = " ".join(
            f"{50 + width * min(values[len(values) * step // 100], most) // most},"
            f"{10 + height - height * step // 100}"
            for step in range(100)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
        y = 28 + number * 16
        parts.append(f'<text x="{width - 80}" y="{y}" fill="{color}">{escape(name)}</text>')
    return _svg(width + 80, height + 40, parts)


def _svg(width: int, height: int, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" '
        f'fill="white"/>\n{body}\n</svg>\n'
    )
