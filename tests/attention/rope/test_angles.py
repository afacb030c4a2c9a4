"""Frequencies, rotations and angles of a head in several types: closed forms, and numbers worked out by hand."""

import math
from fractions import Fraction

import pytest
import torch

from outrange.attention.rope.angles import channel_frequencies, logits, rotate
from outrange.attention.rope.theorems import angle_error, first_wrong_position, table_error


def test_frequencies_of_small_heads_by_hand():
    assert channel_frequencies(2, 1e4).tolist() == [1.0]
    assert channel_frequencies(4, 1e4).tolist() == pytest.approx([1.0, 0.01])
    assert channel_frequencies(8, 1e4, 0.5).tolist() == pytest.approx([1.0, 0.1, 0.0, 0.0])
    assert int((channel_frequencies(256, 1e4, 0.75) > 0).sum()) == 96
    assert float(channel_frequencies(256, 1e4, 0.75)[95]) == pytest.approx(1.07e-3, rel=5e-3)
    assert not channel_frequencies(64, 1e4, 0.0).any()


def test_a_quarter_turn_by_hand():
    quarter = torch.tensor([math.pi / 2], dtype=torch.float64)
    turned = rotate(torch.tensor([[1.0, 0.0]]), torch.arange(5), quarter, "float64")[:, 0]
    assert torch.allclose(
        turned, torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]], dtype=torch.float64), atol=1e-15
    )
    assert logits(turned[:1, None], turned[:, None], "float64")[0].tolist() == pytest.approx(
        [1, 0, -1, 0, 1], abs=1e-15
    )


def test_chunks_turn_as_the_matrix_of_the_whole_head_does():
    g = channel_frequencies(8, 100.0)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blocks = [
        torch.tensor([[math.cos(3 * w), -math.sin(3 * w)], [math.sin(3 * w), math.cos(3 * w)]], dtype=torch.float64)
        for w in g.tolist()
    ]
    assert torch.allclose(
        rotate(x, torch.tensor([3]), g, "float64")[0].flatten(), torch.block_diag(*blocks) @ x.flatten()
    )


def test_every_step_is_rounded_to_the_type():
    for dtype in ("float32", "bfloat16", "float16"):
        turned = rotate(torch.full((1, 2), 1 / 3), torch.arange(9), torch.tensor([1.0]), dtype)
        assert turned.dtype == getattr(torch, dtype)
        products = logits(turned, turned, dtype)
        assert torch.equal(products, products.to(getattr(torch, dtype)).double())


def test_angles_of_one_radian_are_first_wrong_one_past_the_last_consecutive_whole_number():
    for dtype, bits in (("bfloat16", 8), ("float16", 11), ("float32", 24), ("float64", 53)):
        assert angle_error(2**bits, 1.0, dtype) == 0
        assert angle_error(2**bits + 1, 1.0, dtype) == 1
    assert first_wrong_position([1.0], "bfloat16") == 257
    assert first_wrong_position([1.0], "float16") == 2049
    assert first_wrong_position([1.0], "float32", limit=1 << 20) == math.inf
    assert first_wrong_position([1.0], "float64") == math.inf


def test_the_first_wrong_position_is_that_of_the_exact_error():
    g, tolerance = 0.3, 0.02
    first = int(first_wrong_position([g], "bfloat16", tolerance))
    assert angle_error(first, g, "bfloat16") > tolerance
    assert all(angle_error(n, g, "bfloat16") <= tolerance for n in range(first))


def test_an_angle_that_overflows_is_wrong():
    assert angle_error(70_000, 1.0, "float16") == math.inf
    assert first_wrong_position([1e-4], "float16") <= 65_520
    assert Fraction(torch.finfo(torch.float16).max) == 65_504


def test_tables_from_angles_in_bfloat16_are_as_wrong_as_can_be_where_those_from_float32_are_not():
    positions = torch.arange(0, 8192, 7)
    assert table_error(channel_frequencies(64, 1e4), positions, "bfloat16") < 2**-8
    assert table_error(channel_frequencies(64, 1e4), positions, "bfloat16", "bfloat16") > 1
