"""Transformers need glasses! (arXiv 2406.04267): from what length on a language model loses its input.

>>> from outrange.attention import glasses
>>> from outrange.lm.opening import open_model
>>> opened = open_model("smollm2-135m")
>>> glasses.probe_model(opened).verdict[0].answer
>>> backend = glasses.open_backend("smollm2-135m")
>>> glasses.ask(backend, glasses.build_prompts(["last digit"], [2, 5, 10])).answers[0].correct

    families     pairs of token sequences that differ by one repetition: Family, FAMILIES
    symbols      digits and commas as single tokens
    collapse     how far apart a model holds such a pair, in every type: collapse_curves, onset_length
    squashing    which tokens reach the last one: exact_sensitivity, estimate_sensitivity, attention_bound, path_shares
    tasks        prompts of copying, counting and summing: build_prompt, build_prompts, score
    margins      how far what decides an answer moves its odds: measure_margins
    backends     who answers: a model on this machine, or a server (chat_client)
    answers      asking many prompts: ask, ask_margins
    theorems     the paper's statements as numbers; checks: each beside a control
    variants     models side by side: compare_models, train_variants
    probe        all of it at a budget: probe_model; verdict: its rules; story: its page

Names are loaded when they are used, so that importing this package loads neither torch nor transformers.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrange.attention.glasses.answers import Answer, Answers, Shift, Shifts, ask, ask_margins
    from outrange.attention.glasses.backends import LocalModel, Server, open_backend
    from outrange.attention.glasses.collapse import Curve, collapse_curves, onset_length
    from outrange.attention.glasses.families import FAMILIES, Family
    from outrange.attention.glasses.margins import Margins, measure_margins
    from outrange.attention.glasses.probe import BUDGETS, Budget, Probe, probe_model
    from outrange.attention.glasses.squashing import (
        Sensitivity,
        attention_bound,
        estimate_sensitivity,
        exact_sensitivity,
        path_shares,
    )
    from outrange.attention.glasses.story import probe_story
    from outrange.attention.glasses.tasks import TASKS, Prompt, Task, build_prompt, build_prompts, score
    from outrange.attention.glasses.variants import VARIANTS, ModelCollapse, compare_models, train_variants

__all__ = [
    "BUDGETS",
    "FAMILIES",
    "TASKS",
    "VARIANTS",
    "Answer",
    "Answers",
    "Budget",
    "Curve",
    "Family",
    "LocalModel",
    "Margins",
    "ModelCollapse",
    "Probe",
    "Prompt",
    "Sensitivity",
    "Server",
    "Shift",
    "Shifts",
    "Task",
    "ask",
    "ask_margins",
    "attention_bound",
    "build_prompt",
    "build_prompts",
    "collapse_curves",
    "compare_models",
    "estimate_sensitivity",
    "exact_sensitivity",
    "measure_margins",
    "onset_length",
    "open_backend",
    "path_shares",
    "probe_model",
    "probe_story",
    "score",
    "train_variants",
]

# Module -> its public names. None is the name of a module: importing a module binds its name here, over a function.
_PUBLIC = {
    "answers": ("Answer", "Answers", "Shift", "Shifts", "ask", "ask_margins"),
    "backends": ("LocalModel", "Server", "open_backend"),
    "collapse": ("Curve", "collapse_curves", "onset_length"),
    "families": ("FAMILIES", "Family"),
    "margins": ("Margins", "measure_margins"),
    "probe": ("BUDGETS", "Budget", "Probe", "probe_model"),
    "squashing": ("Sensitivity", "attention_bound", "estimate_sensitivity", "exact_sensitivity", "path_shares"),
    "story": ("probe_story",),
    "tasks": ("TASKS", "Prompt", "Task", "build_prompt", "build_prompts", "score"),
    "variants": ("VARIANTS", "ModelCollapse", "compare_models", "train_variants"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
