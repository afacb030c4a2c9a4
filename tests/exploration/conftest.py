"""What the tests of the agents share stands in helpers/, which is made importable here."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "helpers"))


@pytest.fixture
def own_draws():
    """Torch's global generator as it was, whatever the test draws from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
