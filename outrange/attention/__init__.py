"""How attention uses position, and where it loses its input: two papers, each in a folder, over one way to watch a
model.

    tapped             shows every attention layer's ``AttentionInputs`` to a watcher while a block runs
    rope               "Round and Round We Go!" (arXiv 2410.06205): layout, usage, positional heads, ablations, scan
    glasses            "Transformers need glasses!" (arXiv 2406.04267): collapse, over-squashing, tasks, probe
    rope_checks,       the statements of the two papers, each a ``Check`` beside its control
    glasses_checks

The instruments that are used most can be had from here as well::

    from outrange.attention import Usage, read_layout, tapped

    usage = Usage(read_layout(model))
    with tapped(model, usage):
        model(token_ids)
    usage.layers[0].q      # (heads, channel pairs): mean norm of every pair of queries

Names are loaded when they are used, so that importing this package loads neither torch nor transformers.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrange.attention import glasses, rope
    from outrange.attention.check import Check
    from outrange.attention.glasses import probe_model
    from outrange.attention.glasses.checks import checks as glasses_checks
    from outrange.attention.rope import (
        Ablation,
        HeadScores,
        Usage,
        ablated,
        compare_ablations,
        perplexity,
        read_layout,
        scan_model,
    )
    from outrange.attention.rope import checks as rope_checks
    from outrange.attention.tap import AttentionInputs, tapped

__all__ = [
    "Ablation",
    "AttentionInputs",
    "Check",
    "HeadScores",
    "Usage",
    "ablated",
    "compare_ablations",
    "glasses",
    "glasses_checks",
    "perplexity",
    "probe_model",
    "read_layout",
    "rope",
    "rope_checks",
    "scan_model",
    "tapped",
]

# name here -> module, name there
_PUBLIC = {
    "AttentionInputs": ("tap", "AttentionInputs"),
    "Check": ("check", "Check"),
    "glasses_checks": ("glasses.checks", "checks"),
    "probe_model": ("glasses.probe", "probe_model"),
    "rope_checks": ("rope.theorems", "checks"),
    "tapped": ("tap", "tapped"),
}
_FROM_ROPE = (
    "Ablation",
    "HeadScores",
    "Usage",
    "ablated",
    "compare_ablations",
    "perplexity",
    "read_layout",
    "scan_model",
)
_PUBLIC |= {name: ("rope", name) for name in _FROM_ROPE}


def __getattr__(name: str) -> Any:
    if name in ("glasses", "rope"):
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
