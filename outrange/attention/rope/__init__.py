"""Round and Round We Go! (arXiv 2410.06205): how a language model uses its rotary frequencies.

    read_layout, describe_layout         which channels turn together, how fast, in which layers
    scan_model, scan_story               everything that a page shows of one model on one text
    Usage, HeadScores                    watchers for ``outrange.attention.tapped``: frequencies in use; positional heads
    ablated, compare_ablations           frequencies taken away: for a block, or several ablations side by side
    checks                               the paper's statements, tried in types of finite precision
    measure_cost                         what looking costs

A function is a verb or a plural, a module a noun, so that no name of the one hides the other. Names are loaded when
they are used, so that importing this package loads neither torch nor transformers.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrange.attention.rope.ablate import (
        Ablation,
        AblationComparison,
        AblationResult,
        ablated,
        compare_ablations,
        perplexity,
    )
    from outrange.attention.rope.bench import Cost, measure_cost
    from outrange.attention.rope.heads import HeadScores, head_kind
    from outrange.attention.rope.layout import LayerLayout, Layout, read_layout
    from outrange.attention.rope.scan import describe_layout, scan_model, scan_story
    from outrange.attention.rope.theorems import checks
    from outrange.attention.rope.usage import LayerUsage, Usage, quarter_shares

__all__ = [
    "Ablation",
    "AblationComparison",
    "AblationResult",
    "Cost",
    "HeadScores",
    "LayerLayout",
    "LayerUsage",
    "Layout",
    "Usage",
    "ablated",
    "checks",
    "compare_ablations",
    "describe_layout",
    "head_kind",
    "measure_cost",
    "perplexity",
    "quarter_shares",
    "read_layout",
    "scan_model",
    "scan_story",
]

_PUBLIC = {
    "ablate": ("Ablation", "AblationComparison", "AblationResult", "ablated", "compare_ablations", "perplexity"),
    "bench": ("Cost", "measure_cost"),
    "heads": ("HeadScores", "head_kind"),
    "layout": ("LayerLayout", "Layout", "read_layout"),
    "scan": ("describe_layout", "scan_model", "scan_story"),
    "theorems": ("checks",),
    "usage": ("LayerUsage", "Usage", "quarter_shares"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
