"""``smollm2`` is the pretrained model, where it was fetched. Tiny models are in ``tests.attention.families``."""

import pytest


@pytest.fixture(scope="session")
def smollm2():
    from outrange.lm import opening, pretrained

    if not (pretrained.folder() / "config.json").is_file():
        pytest.skip("the pretrained model is not there; `outrange lm fetch` gets it")
    return opening.open_model(pretrained.NAME)
