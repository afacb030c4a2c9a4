"""The story of a probe's page (``outrange.report.probe``) from the probe."""

from outrange.attention.glasses.collapse import RESOLUTION
from outrange.attention.glasses.probe import Probe, TextSensitivity
from outrange.attention.glasses.verdict import LEAST_SHIFT, format_number
from outrange.report.probe import CollapseCurve, MarginCurve, ProbeStory, RemedyRow, SensitivityCurve, VerdictRow


def probe_story(probe: Probe, command: str = "") -> ProbeStory:
    """What the page of a probe shows.

    Args:
        probe: as ``probe_model`` returns it.
        command: that makes the page again; shown at its end.
    """
    return ProbeStory(
        title=probe.model,
        subtitle="from what length on it loses its input",
        command=command,
        notes=probe.notes,
        verdict=tuple(
            VerdictRow(question=finding.question, answer=finding.answer, detail=finding.detail)
            for finding in probe.verdict
        ),
        curves=tuple(
            # the page draws distances in the largest entry alone; L1 and L2 stay in the probe
            CollapseCurve(
                family=curve.family,
                dtype=curve.dtype,
                lengths=curve.lengths,
                relative_distance=curve.relative_distance.tolist(),
                signal_over_noise=curve.signal_over_noise.tolist(),
                signal_over_blur=curve.signal_over_blur.tolist(),
                total_variation=curve.total_variation.tolist(),
                layer_distances=curve.linf.tolist(),
                resolution=RESOLUTION.get(curve.dtype),
            )
            for curve in probe.curves
        ),
        margins=tuple(
            MarginCurve(
                task=margins.task,
                lengths=margins.lengths,
                shift=margins.shift.tolist(),
                lowest_shift=margins.lowest_shift.tolist(),
                highest_shift=margins.highest_shift.tolist(),
            )
            for margins in probe.margins
        ),
        least_shift=LEAST_SHIFT,
        sensitivity=_sensitivity_curve(probe.text),
        remedies=tuple(
            # numbers become words here, so that page and command line round them alike
            RemedyRow(
                remedy=remedy.name,
                measure=remedy.measure,
                without=format_number(remedy.without),
                with_remedy=format_number(remedy.with_remedy),
                verdict="helps" if remedy.helps else "does not help",
            )
            for remedy in probe.remedies
        ),
    )


def _sensitivity_curve(text: TextSensitivity) -> SensitivityCurve:
    """Norms over the first token's, the bound over its own first value: their shapes are compared, not their sizes."""
    # the estimate's error is relative to the same norm
    sensitivity = text.sensitivity
    error = sensitivity.standard_error
    return SensitivityCurve(
        tokens=text.tokens,
        norms=(sensitivity.norms / sensitivity.reference_norm).tolist(),
        standard_error=None if error is None else (error / sensitivity.reference_norm).tolist(),
        bound=text.relative_bound.tolist(),
        path_shares=text.path_shares.tolist(),
        method=text.method,
    )
