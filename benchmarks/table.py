"""Writes benchmarks/README.md from benchmarks/results.json, which ``outrange clrs bench --against-reference --json``
printed, and benchmarks/other.md, which is kept by hand."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS, OTHER, PAGE = FOLDER / "results.json", FOLDER / "other.md", FOLDER / "README.md"
# kind of work and length -> title, in the order of the tables
TITLES = {
    ("trace", 16): "Traces, length 16",
    ("trace", 64): "Traces, length 64",
    ("text", 16): "Trace and text, length 16",
    ("text-with-trace", 16): "Trace and text that shows the trace, length 16",
}
HEAD = """# Benchmarks

`make bench` builds a second environment with dm-clrs 2.0.3 (2.9 GB, once), runs both packages on the same work,
taking turns, and prints these tables; `outrange clrs bench --against-reference --json` gives the numbers. Below: CPU
microseconds of one sample, medians of five rounds, one process each, on two virtual cores of an AMD EPYC with
AVX-512, Python 3.11, NumPy 2.4.6, Numba 0.68.1.

**The work** on both sides: draw the inputs, run the algorithm, and hold every probe of every step as an array in its
public, one-hot form. We draw blocks, as `clrs.sample(count=…)` does; the package draws one sample at a time, its
fastest way. For text, floats are cut to three decimals and the string is made.

**Where the time goes.** At length 16, of {total_16:.0f} µs for one trace of each of the thirty, drawing takes
{drawing_16:.0f} µs, the fair floor; about 100 µs are Python objects (a trace and its dictionaries of array views,
some 3 µs each), and the rest is the algorithms writing their steps. At length 64, drawing takes {drawing_64:.0f} of
{total_64:,.0f} µs; `matrix_chain_order` alone takes {matrix_chain_order_64:,.0f} µs (its published trace sweeps the
whole table until nothing changes), and the algorithms on edge matrices write 1 to 6 MB a trace, which is memory
bandwidth.

**A first use** compiles: see the table at the end; later starts load from disk.

| one of each of the thirty | dm-clrs 2.0.3 | outrange | ratio | lowest single ratio |
|---|---|---|---|---|
"""


def page(rows: list[dict[str, Any]]) -> str:
    """The whole page.

    Args:
        rows: of results.json: for each kind of work, length and algorithm the microseconds of one sample of ``ours``,
            of the ``reference``, and of our drawing alone (``inputs``).
    """

    def rows_of(kind: str, length: int) -> list[dict[str, Any]]:
        return [row for row in rows if (row["kind"], row["length"]) == (kind, length)]

    def total(kind: str, length: int, column: str) -> float:
        return sum(row[column] for row in rows_of(kind, length))

    # The text above the tables quotes totals, so that it cannot say anything else than the tables do.
    slowest = next(row["ours"] for row in rows_of("trace", 64) if row["algorithm"] == "matrix_chain_order")
    text = HEAD.format(
        total_16=total("trace", 16, "ours"),
        drawing_16=total("trace", 16, "inputs"),
        total_64=total("trace", 64, "ours"),
        drawing_64=total("trace", 64, "inputs"),
        matrix_chain_order_64=slowest,
    )
    for (kind, length), title in TITLES.items():
        reference, ours = total(kind, length, "reference"), total(kind, length, "ours")
        lowest = min(rows_of(kind, length), key=lambda row: row["ratio"])
        text += f"| {title} | {reference:,.0f} µs | {ours:,.0f} µs | **{reference / ours:.0f}** "
        text += f"| {lowest['ratio']:.0f} ({lowest['algorithm']}) |\n"
    for (kind, length), title in TITLES.items():
        text += f"\n## {title}\n\n"
        text += "| algorithm | dm-clrs 2.0.3, µs | outrange, µs | of it drawing, µs | ratio |\n|---|---|---|---|---|\n"
        for row in rows_of(kind, length):
            text += f"| {row['algorithm']} | {row['reference']:,.0f} | {row['ours']:,.1f} "
            text += f"| {row['inputs']:,.1f} | {row['ratio']:,.0f} |\n"
    return text + "\n" + OTHER.read_text(encoding="utf-8")


def main() -> None:
    """Write the page beside the results."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
