"""The results as a markdown table and as a plot."""

from __future__ import annotations

import math
from typing import Any

from tests.benchmarks.pages import READY

__all__ = ["as_markdown", "as_svg"]

Results = dict[str, Any]

INK, GRID, FIRST, SECOND = "#57606a", "#d0d7de", "#0969da", "#bf3989"  # legible on white and on black


#: The columns of the tables with one row for each record: the head, and how the record is shown.
WALKS = {
    "requests at once": "{concurrency}",
    "encounters": "{rows:,}",
    "requests": "{requests:,}",
    "seconds": "{seconds:.2f}",
    "of them computing": "{computing:.2f}",
    "ratio to waiting alone": "{to_waiting:.2f}",
}
LOOPS = {
    "while reading": "{world}",
    "by": "{how}",
    "there all the time": "{there:,}",
    "got": "{got:,}",
    "lost": "{lost:,}",
    "repeated": "{repeated:,}",
    "ended": "{ended}",
}
GROWTH = {
    "encounters": "{rows:,}",
    "requests": "{requests:,}",
    "seconds": "{seconds:.1f}",
    "peak memory, MB": "{peak_megabytes:.1f}",
}
CHANGES = {
    "encounters": "{encounters:,}",
    "changes": "{changes:,}",
    "seconds": "{seconds:,.1f}",
    "peak memory, MB": "{peak_megabytes:,.1f}",
    "ledger, MB": "{ledger_megabytes:,.1f}",
}


def as_markdown(results: Results) -> str:
    """Return every table, and what a reader has to know."""
    machine = results["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    about = (
        f"Python {machine['python']}, {machine['system']} {machine['machine']}, {machine['cores']} cores, load "
        f"{machine['load'][0]} at the end; {packages}. A page of 100 encounters is {results['page_bytes']:,} bytes."
    )
    parts = [
        "# Bench",
        about,
        f"## A page\n\nRatios to the first line within each of {results['rounds']} rounds: median (quartiles).",
        _pages(results),
        "Users of charthero_ext have sniffio. Users of the other clients may not, so these are measured without it.",
        *(f"Absent: {name} ({why})." for name, why in results["absent"].items()),
        "## Ready for the first request\n\nRatios to importing httpx, each in a new interpreter.",
        _ready(results),
        "## Walks\n\nEvery answer comes 20 ms late. Waiting alone takes requests × latency / requests at once.",  # noqa: RUF001
        _records(WALKS, results["walks"]),
        "## A loop over offsets, and a walk\n\nThe same encounters, oldest first. Lost rows were there all the time.",
        _records(LOOPS, results["loops"]),
        "## One long walk\n\nOne request at a time, without latency.",
        _records(GROWTH, results["growth"]),
        "## Two passes of a change feed\n\nThe first delivers everything, the second finds nothing new.",
        _records(CHANGES, results["changes"]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def _records(columns: dict[str, str], records: list[dict[str, Any]]) -> str:
    return _table(list(columns), [[shown.format(**each) for shown in columns.values()] for each in records])


def _spread(value: dict[str, float] | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    if value["lower"] == value["upper"]:
        return f"{value['median']:.2f}"
    return f"{value['median']:.2f} ({value['lower']:.2f}–{value['upper']:.2f})"  # noqa: RUF001


def _pages(results: Results) -> str:
    works = [each for each in results["pages"] if each["work"] != READY]
    heads = ["client", *(f"{each['work']} (1.00 = {each['floor']:.3g} {each['unit']})" for each in works)]
    names = dict.fromkeys(name for each in works for name in each["peers"])
    return _table(heads, [[name, *(_spread(each["peers"].get(name)) for each in works)] for name in names])


def _ready(results: Results) -> str:
    ready = next(each for each in results["pages"] if each["work"] == READY)
    rows = [[f"`{name}`", _spread(value)] for name, value in ready["peers"].items()]
    return _table(["program", f"1.00 = {ready['floor']:.0f} ms"], rows)


def as_svg(results: Results) -> str:
    """Return a plot of requests and seconds against encounters, on logarithmic scales."""
    stages = results["growth"]
    loop = next((each for each in results["loops"] if each["how"] == "a loop over offsets"), None)
    stop = loop["got"] if loop and loop["there"] > loop["got"] else None
    title = "How a walk grows: requests and seconds against encounters"
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 300" role="img" font-family="sans-serif" '
            f'font-size="12" fill="{INK}">',
            f"<title>{title}</title>",
            _panel("requests", [(each["rows"], each["requests"]) for each in stages], left=60, stop=stop),
            _panel("seconds", [(each["rows"], each["seconds"]) for each in stages], left=470, stop=stop),
            "</svg>\n",
        ]
    )


def _panel(name: str, points: list[tuple[float, float]], *, left: int, stop: int | None) -> str:
    width, top, height = 320, 40, 200
    low_x, high_x = (math.floor(math.log10(points[0][0])), math.ceil(math.log10(points[-1][0])))
    values = [value for _, value in points]
    low_y, high_y = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(rows: float) -> float:
        return round(left + width * (math.log10(rows) - low_x) / max(high_x - low_x, 1), 1)

    def y(value: float) -> float:
        return round(top + height * (1 - (math.log10(value) - low_y) / max(high_y - low_y, 1)), 1)

    drawn = [f'<text x="{left}" y="{top - 16}" font-size="14">{name}</text>']
    for power in range(low_x, high_x + 1):
        at = x(10**power)
        drawn.append(f'<path d="M{at} {top}V{top + height}" stroke="{GRID}"/>')
        drawn.append(f'<text x="{at}" y="{top + height + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(low_y, high_y + 1):
        at = y(10**power)
        drawn.append(f'<path d="M{left} {at}H{left + width}" stroke="{GRID}"/>')
        drawn.append(f'<text x="{left - 6}" y="{at + 4}" text-anchor="end">{10.0**power:,g}</text>')
    line = " ".join(f"{x(rows)},{y(value)}" for rows, value in points)
    drawn.append(f'<polyline points="{line}" fill="none" stroke="{FIRST}" stroke-width="2"/>')
    drawn += [f'<circle cx="{x(rows)}" cy="{y(value)}" r="3" fill="{FIRST}"/>' for rows, value in points]
    if stop is not None and points[0][0] <= stop <= points[-1][0]:
        at = x(stop)
        drawn.append(f'<path d="M{at} {top}V{top + height}" stroke="{SECOND}" stroke-dasharray="4 3"/>')
        text = f"a loop over offsets ends at {stop:,}"
        drawn.append(f'<text x="{at + 5}" y="{top + height - 8}" fill="{SECOND}">{text}</text>')
    drawn.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">encounters</text>')
    return "\n".join(drawn)
