"""What several tests of the command line need."""

import pytest

from tests.attention import families
from tests.attention.letters import letters


@pytest.fixture(scope="package")
def spelling(tmp_path_factory):
    """A folder with a tiny language model whose tokenizer spells."""
    place = tmp_path_factory.mktemp("models") / "spelling"
    families.model("llama", max_position_embeddings=512).save_pretrained(place)
    letters().save_pretrained(place)
    return place
