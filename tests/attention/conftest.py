"""Tests of this folder share its tiny models; ``smollm2`` is the pretrained one, where it was fetched."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def smollm2():
    from outrange.lm import opening as models
    from outrange.lm import pretrained

    if not (pretrained.folder() / "config.json").is_file():
        pytest.skip("the pretrained model is not there; `outrange lm fetch` gets it")
    return models.open_model(pretrained.NAME)
