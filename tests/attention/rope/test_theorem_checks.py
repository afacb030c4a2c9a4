"""Every statement about rotary positions holds in every type, and every check fails when its statement is broken."""

import dataclasses
import math

import pytest
import torch

from outrange.attention.check import Check
from outrange.attention.rope.theorems import (
    CHECKS,
    DTYPES,
    angle_errors,
    any_choice,
    checks,
    distance,
    encoding,
    encodings,
    gaussian_attention,
    largest_gap,
    nope_head,
    positional_head,
    positional_heads,
    returns,
    slow_channels,
)
from outrange.core.errors import BadInput


@pytest.fixture(scope="module")
def rows():
    return checks()


# Every check, and that it can fail


def test_every_statement_is_tried_in_every_type_and_holds(rows):
    assert len(rows) == 12 * len(DTYPES) == len({row.name for row in rows})
    assert [row.name for row in rows if not row.holds] == []
    for dtype in DTYPES:
        assert sum(row.name.endswith(f", {dtype}") for row in rows) == 12
    places = {row.place for row in rows}
    assert {
        "Proposition 3.1",
        "Proposition 3.2",
        "Lemma A.1",
        "Proposition 5.2",
        "Theorem 5.3",
        "Theorem 6.1",
        "Lemma A.2",
        "Table 1",
    } < places


def test_every_check_says_whose_hypotheses_they_are(rows):
    for row in rows:
        assert all((row.statement, row.hypotheses, row.bound, row.measured))
        assert row.place.startswith("none: ours") or "Ours: " in row.hypotheses
        assert type(row.holds) is bool


def test_a_check_is_frozen_and_keyword_only(rows):
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows[0].holds = False
    with pytest.raises(TypeError):
        Check("name", "place", "statement", "hypotheses", "bound", "measured", True)  # type: ignore[call-arg]


def _still(head_dim=64, theta=1e4, share=1.0):
    return torch.zeros(head_dim // 2, dtype=torch.float64)


def _squares(queries, keys, dtype):
    return (queries.double() * queries.double()).sum((-2, -1))


#: statement -> (module, the name that is broken in it, what it is broken to)
CONTROLS = {
    "maximal attention": (distance, "channel_frequencies", _still),  # nothing turns: all distances are alike
    "Gaussian attention": (distance, "paired_logits", _squares),  # k = q is not independent of it
    "decay": (distance, "channel_frequencies", _still),  # nothing decays
    "no exact return": (
        returns,
        "near_returns",
        lambda g, length, count: [returns.NearReturn(6, 0.0, 0.0)],
    ),  # g = pi / 3 would come back
    "NoPE head": (
        positional_heads,
        "nope_head",
        lambda **kw: nope_head(**kw, share=1.0),
    ),  # positions tell equal tokens apart
    "positional head": (
        positional_heads,
        "positional_head",
        lambda *a, **kw: positional_head(*a, **kw | {"share": 0.0}),
    ),
    "one frequency": (
        positional_heads,
        "positional_head",
        lambda *a, **kw: positional_head(*a, **kw | {"frequency": 1e-4}),
    ),
    "slow channel": (slow_channels, "channel_frequencies", _still),  # no crossing, as p-RoPE has it
    "any choice": (slow_channels, "any_choice", lambda g, *a: any_choice(0.0, *a)),
    "dense angles": (
        returns,
        "largest_gap",
        lambda g, *a: largest_gap(2 * math.pi / 7, *a),
    ),  # a rational rotation: seven angles
    "encodings": (encodings, "encoding", lambda share, **kw: encoding(1.0, **kw)),  # p-RoPE that turns everything
    "angles": (angle_errors, "first_wrong_position", lambda g, dtype: 40.0),
}


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("statement", CHECKS)
def test_a_check_fails_when_what_it_states_is_not_so(statement, dtype, monkeypatch):
    module, name, broken = CONTROLS[statement]
    assert callable(getattr(module, name))
    monkeypatch.setattr(module, name, broken)
    assert CHECKS[statement](dtype, 0).holds is False


def test_every_check_has_a_control(rows):
    assert CONTROLS.keys() == CHECKS.keys()
    assert len(CONTROLS) == len(rows) / len(DTYPES)


def test_logits_that_are_too_small_are_noticed(monkeypatch):
    curve = distance.logit_curve
    monkeypatch.setattr(distance, "logit_curve", lambda *arguments: 0.9 * curve(*arguments))  # as of a broken kernel
    assert not CHECKS["maximal attention"]("float64", 0).holds
    assert not CHECKS["decay"]("float64", 0).holds


def test_checks_of_one_type_and_seed_repeat_and_leave_the_global_generator_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = [
        [CHECKS[name](dtype, 3) for name in ("maximal attention", "Gaussian attention", "NoPE head", "any choice")]
        for dtype in ("float32", "float32")
    ]
    assert again[0] == again[1]
    assert torch.equal(before, torch.get_rng_state())
    assert gaussian_attention(pairs=100, seed=1) != gaussian_attention(pairs=100, seed=2)


def test_checks_can_be_asked_for_some_types_only():
    assert checks(()) == []
    with pytest.raises(
        BadInput, match=r"^dtypes: 'bf16' is not a type that the statements are checked in; did you mean 'bfloat16'\?$"
    ):
        checks(("bf16",))
