"""A statement of a paper, tried on a machine beside a control: the record that the checks of both attention papers
return.

``outrange.attention.rope.theorems`` does this for "Round and Round We Go!" (arXiv 2410.06205),
``outrange.attention.glasses.checks`` for "Transformers need glasses!" (arXiv 2406.04267). A check proves nothing: it
tries a statement at stated sizes, where finite lengths and finite precision may break it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Check:
    """One statement and what was measured for it.

    ``holds`` follows from the measured numbers and the bound, under the hypotheses named here.
    """

    name: str
    """what is tried, unique within a paper"""
    place: str
    """where the paper states it, such as "Theorem 6.1"; or that the statement is ours"""
    statement: str
    """the claim, in words"""
    hypotheses: str
    """what is assumed, and which sizes are ours; the control is named here where it lifts a hypothesis"""
    bound: str
    """what the numbers must satisfy for the statement to hold"""
    measured: str
    """the numbers themselves, the control's among them"""
    holds: bool
    fine_print: str = ""
    """where a reader could expect more than the statement says"""
