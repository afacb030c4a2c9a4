"""What every test of the agents may ask for."""

import pytest
import torch


@pytest.fixture
def own_draws():
    """Torch's global generator as it was, whatever the test draws from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
