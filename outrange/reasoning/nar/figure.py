"""The figure of how far a reasoner reaches: score against size."""

from collections.abc import Mapping
from pathlib import Path

from outrange.core.atomic import replaced, writable
from outrange.core.errors import BadInput

KINDS = (".png", ".svg", ".pdf")


def check(target: Path) -> None:
    """Refuse a name that no figure can have, before any work is done for it."""
    if target.suffix not in KINDS:
        raise BadInput(f"out: {str(target)!r} is not a picture's name; it must end in {', '.join(KINDS)}")


def draw(scores: Mapping[str, Mapping[int, float]], target: Path, trained: int) -> None:
    """Write the figure; ``trained`` is the largest size seen in training."""
    check(target)
    import matplotlib as mpl

    mpl.use("Agg")  # needs no screen
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    sizes = sorted({size for values in scores.values() for size in values})
    low, high = min(sizes) - 1, max(sizes) + 1
    # sizes seen in training are shaded: what lies to the right is extrapolation
    if trained > low:
        axes.axvspan(low, min(trained, high), color="0.93", zorder=0)
        axes.text(
            min(trained, high), 1.03, "sizes seen in training ", ha="right", va="bottom", fontsize=8, color="0.35"
        )
    colours = plt.get_cmap("tab10" if len(scores) <= 10 else "tab20")
    for k, (name, values) in enumerate(scores.items()):
        style = "-" if k < 20 else "--"
        axes.plot(
            list(values),
            list(values.values()),
            style,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            color=colours(k % colours.N),
            label=name,
        )
    axes.set(xlabel="nodes", ylabel="micro-F1", ylim=(-0.02, 1.02), xticks=sizes, xlim=(low, high))
    axes.grid(axis="y", color="0.88", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, ncols=1 if len(scores) <= 15 else 2
    )
    with writable("out", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced(target) as partial:
            figure.savefig(partial, format=target.suffix[1:], dpi=160)
    plt.close(figure)
