"""What the reasoner's tests share."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More make tensors as small as these ones slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
