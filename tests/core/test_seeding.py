"""Branches of a seed are stable, independent of their siblings, and their generators go on where they stood."""

import json
import random

import numpy as np
import pytest
import torch

from outrange.core.errors import BadInput
from outrange.core.seeding import SeedTree, numpy_state, restore_numpy, restore_torch, torch_state


def test_the_same_path_gives_the_same_draws_and_these_never_change():
    branch = SeedTree(7).child("data")
    assert branch.integer(63) == SeedTree(7).child("data").integer(63) == 2032167009059989471
    assert branch.numpy().integers(1 << 30, size=3).tolist() == [794461318, 1066739757, 791385414]
    assert branch.numpy().bit_generator.state == branch.numpy().bit_generator.state
    assert torch.equal(torch.rand(5, generator=branch.torch()), torch.rand(5, generator=branch.torch()))


def test_a_new_sibling_changes_no_other_branch():
    before = SeedTree(1).child("task", 3).integer()
    tree = SeedTree(1)
    for name in ("task", "noise", "actor"):
        for k in range(5):
            tree.child(name, k).numpy().random(10)
    assert tree.child("task", 3).integer() == before


def test_different_paths_and_seeds_give_different_draws():
    paths = [
        (),
        ("a",),
        ("b",),
        ("a", 0),
        ("a", 1),
        ("a", "0"),
        (0,),
        ("0",),
        ("a", "b"),
        ("ab",),
        ("a", 0, 0),
        ("a", -1),
        ("a", 1 << 70),
    ]
    found = {SeedTree(seed).child(*path).integer(64) for path in paths for seed in (0, 1, 2**64 - 1)}
    assert len(found) == 3 * len(paths)


def test_a_path_may_be_walked_in_one_step_or_in_several():
    assert SeedTree(1).child("task", 3, "x").integer() == SeedTree(1).child("task").child(3).child("x").integer()
    assert SeedTree(np.int64(1)).child(np.int64(3)).integer() == SeedTree(1).child(3).integer()


def test_an_integer_has_the_bits_asked_for():
    assert all(SeedTree(k).integer(1) in (0, 1) for k in range(20))
    assert {SeedTree(k).integer(1) for k in range(20)} == {0, 1}
    assert max(SeedTree(k).integer(63) for k in range(50)) < 1 << 63
    assert max(SeedTree(k).integer(64) for k in range(50)) >= 1 << 63
    with pytest.raises(BadInput, match="bits: 65"):
        SeedTree(0).integer(65)


@pytest.mark.parametrize("seed", [-1, 1 << 64, 1.5, True, "1", None])
def test_a_seed_that_is_no_whole_number_in_range_is_refused(seed):
    with pytest.raises(BadInput, match="^seed: "):
        SeedTree(seed)


def test_no_global_random_state_is_read_or_moved():
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    tree = SeedTree(3).child("x")
    first = tree.numpy().random(), torch.rand(1, generator=tree.torch()).item(), tree.integer()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    torch.manual_seed(5)
    assert (tree.numpy().random(), torch.rand(1, generator=tree.torch()).item(), tree.integer()) == first


def test_a_numpy_generator_goes_on_from_its_state_as_json():
    generator = SeedTree(1).numpy()
    generator.integers(10, size=3, dtype=np.int32)  # leaves half a word waiting, which is part of the state
    state = json.loads(json.dumps(numpy_state(generator)))
    expected = generator.integers(10, size=20, dtype=np.int32).tolist()
    other = SeedTree(2).numpy()
    restore_numpy(other, state)
    assert other.integers(10, size=20, dtype=np.int32).tolist() == expected


def test_a_torch_generator_goes_on_from_its_state_as_a_tensor():
    generator = SeedTree(1).torch()
    torch.randn(3, generator=generator)
    state = torch_state(generator)
    assert state.dtype == torch.uint8
    expected = torch.randn(20, generator=generator)
    other = SeedTree(2).torch()
    restore_torch(other, state)
    assert torch.equal(torch.randn(20, generator=other), expected)


def test_a_state_that_is_none_is_refused_in_one_sentence():
    with pytest.raises(BadInput, match="is not a state of PCG64"):
        restore_numpy(SeedTree(0).numpy(), {"bit_generator": "PCG64", "state": {}})
    with pytest.raises(BadInput, match="is not a state of a torch generator"):
        restore_torch(SeedTree(0).torch(), torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(BadInput, match="MT19937"):
        numpy_state(np.random.Generator(np.random.MT19937(0)))
