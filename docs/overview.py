"""Draws the picture at the top of the README from three results of this package: ``python docs/overview.py RUN``.

RUN is a trained explorer of the maze: ``outrange explore train --seed 0 --out RUN`` (nine minutes on one core). The
other two panels need nothing but the package: the weights that come with it, and the small language model that
``outrange lm fetch`` gets.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OUT = Path(__file__).parent / "images" / "overview.png"
INK, MUTED, BAND = "#1f2937", "#6b7280", "#eef2f7"
COLOURS = ("#1d4ed8", "#0f766e", "#b45309", "#be185d")
ALGORITHMS = {"bfs": "breadth-first search", "bellman_ford": "Bellman-Ford", "minimum": "minimum", "mst_prim": "Prim"}
SIZES = (4, 8, 16, 24, 32, 48, 64)
SAMPLES = 32
MAZE_SEED = 3  # any maze that training did not see


def draw_generalisation(axes: Axes) -> None:
    """The shipped reasoner's scores against the size of the graph."""
    from outrange.reasoning.nar import Reasoner, curve

    reasoner = Reasoner.load("generalist")
    axes.axvspan(0, 16, color=BAND, zorder=0)
    axes.text(1.5, 3, "sizes seen\nin training", color=MUTED, fontsize=9)
    for colour, (name, label) in zip(COLOURS, ALGORITHMS.items(), strict=True):
        scores = curve(reasoner, name, SIZES, count=SAMPLES)
        axes.plot(list(scores), [100 * score for score in scores.values()], color=colour, marker="o", ms=4, label=label)
    axes.set(xlabel="nodes", ylabel="score (micro-F1, %)", xlim=(0, 66), ylim=(0, 103), xticks=(4, 16, 32, 48, 64))
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.12))
    axes.set_title("One network executes algorithms\non graphs four times larger")


def draw_frequencies(axes: Axes, figure: Figure) -> None:
    """Share of the query norm that lies on every rotary frequency, layer by layer."""
    import torch

    from outrange.attention import Usage, read_layout, tapped
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm.opening import encode_text, open_model

    opened = open_model("smollm2-135m")
    usage = Usage(read_layout(opened.model))
    token_ids = torch.tensor([encode_text(opened.tokenizer, SHAKESPEARE.read_text(encoding="utf-8"), 512)])
    with torch.no_grad(), tapped(opened.model, usage):
        opened.model(token_ids)
    layers = [usage.layers[layer] for layer in sorted(usage.layers)]
    norms = np.stack([np.asarray(layer.q).mean(0) for layer in layers])  # (layers, pairs), fastest pair first
    image = axes.imshow(100 * norms / norms.sum(1, keepdims=True), aspect="auto", cmap="magma", origin="lower")
    axes.set(xlabel="frequency: fast → slow", ylabel="layer", xticks=())
    figure.colorbar(image, ax=axes, label="share of the query norm (%)", pad=0.02)
    axes.set_title("SmolLM2-135M relies on its slow\nrotary frequencies, in every layer")


def draw_maze(axes: Axes, figure: Figure, run: Path) -> None:
    """One greedy episode in a maze that training did not see: the step at which each cell was first visited."""
    from outrange import exploration

    recording = exploration.record(run, seed=MAZE_SEED)
    # the picture has one pixel for each cell; corridors are black, the agent stands in one
    walls = recording.pictures[0].max(-1) > 0
    side = len(walls)
    visited_at: dict[int, int] = {}
    for step, place in enumerate(recording.place):
        visited_at.setdefault(int(place), step)
    order = np.full((side, side), np.nan)
    for place, step in visited_at.items():
        if place >= 0:  # the step into a wall that ends an episode leads nowhere
            order[divmod(place, side)] = step
    axes.imshow(walls, cmap="Greys", vmin=0, vmax=1.6)
    image = axes.imshow(order, cmap="viridis")
    axes.set(
        xticks=(), yticks=(), xlabel=f"{recording.coverage:.0%} of the free cells in {len(recording.action)} steps"
    )
    figure.colorbar(image, ax=axes, label="step of the first visit", pad=0.02, fraction=0.046)
    axes.set_title("An agent without any reward explores\na maze it has never seen")


def main(run: Path) -> None:
    """Draw the three panels and write the picture."""
    plt.rcParams |= {
        "font.size": 10,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14.5, 4.4), width_ratios=(1, 1.1, 1.05))
    draw_generalisation(left)
    draw_frequencies(middle, figure)
    draw_maze(right, figure, run)
    figure.tight_layout(w_pad=2.5)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=110)
    print(OUT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
