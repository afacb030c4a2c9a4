"""``outrange attention theorems``: every statement of either attention paper as a check."""

from dataclasses import asdict
from typing import Literal

from outrange.cli import app
from outrange.cli.attention.inputs import LAST_SEED
from outrange.core.checks import whole
from outrange.core.errors import BadInput


def theorems(
    paper: Literal["rope", "glasses"] = "rope",
    dtypes: tuple[str, ...] = (),
    seed: int = 0,
    json: app.Json = False,
) -> int:
    """Every statement of a paper as a check: claim, bound, what was measured.

    Args:
        paper: rope: on rotary positions; glasses: on collapse and over-squashing, in float64 but for the statement
            about types.
        dtypes: the types to check rope's statements in; float64, float32, bfloat16 and float16 if not given.
        seed: of what is drawn.
    """
    whole("seed", seed, 0, LAST_SEED)
    if paper == "glasses":
        from outrange.attention.glasses.checks import checks as glasses_checks

        if dtypes:
            raise BadInput(
                f"dtypes: {' '.join(dtypes)} is not allowed with --paper glasses, whose statements are tried in "
                "float64; leave it out"
            )
        results = glasses_checks(seed)
    else:
        from outrange.attention.rope.theorems import DTYPES
        from outrange.attention.rope.theorems import checks as rope_checks

        results = rope_checks(dtypes or DTYPES, seed)

    if json:
        app.print_json([asdict(check) for check in results])
    else:
        previous_name = ""
        for check in results:
            # a statement that is tried in several types has one heading
            if check.name != previous_name:
                print(f"\n{check.name} ({check.place})\n  {check.statement}\n  given: {check.hypotheses}")
                previous_name = check.name
            print(f"  {'holds ' if check.holds else 'FAILS '} bound {check.bound}; measured {check.measured}")
            if check.fine_print:
                print(f"         {check.fine_print}")
    return 0 if all(check.holds for check in results) else 1
