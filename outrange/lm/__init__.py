"""Small language models, as Hugging Face models: text and tokenizers, training, evaluation, rotary position schemes; and
opening any Hugging Face model safely (``outrange.lm.opening``).

>>> from outrange import lm
>>> lm.preset("smoke", text=("stories/",)).context_length
32

Nothing here imports torch or transformers before it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrange.lm.comparison import compare_schemes
    from outrange.lm.config import ModelConfig, Rotary, TrainConfig, preset, sized
    from outrange.lm.evaluation import perplexity, perplexity_by_length
    from outrange.lm.model import build_model, export_model, load_model
    from outrange.lm.opening import open_config, open_model
    from outrange.lm.rotary import convert, converted
    from outrange.lm.text import documents, fetch_bible
    from outrange.lm.tokenizer import Corpus, load_tokenizer, prepare_corpus
    from outrange.lm.training import Trainer, resume, train

_MODULES = {
    "Corpus": "tokenizer",
    "ModelConfig": "config",
    "Rotary": "config",
    "TrainConfig": "config",
    "Trainer": "training",
    "build_model": "model",
    "compare_schemes": "comparison",
    "convert": "rotary",
    "converted": "rotary",
    "documents": "text",
    "export_model": "model",
    "fetch_bible": "text",
    "load_model": "model",
    "load_tokenizer": "tokenizer",
    "open_config": "opening",
    "open_model": "opening",
    "perplexity": "evaluation",
    "perplexity_by_length": "evaluation",
    "prepare_corpus": "tokenizer",
    "preset": "config",
    "resume": "training",
    "sized": "config",
    "train": "training",
}
"""public name -> the module it stands in"""

__all__ = [
    "Corpus",
    "ModelConfig",
    "Rotary",
    "TrainConfig",
    "Trainer",
    "build_model",
    "compare_schemes",
    "convert",
    "converted",
    "documents",
    "export_model",
    "fetch_bible",
    "load_model",
    "load_tokenizer",
    "open_config",
    "open_model",
    "perplexity",
    "perplexity_by_length",
    "prepare_corpus",
    "preset",
    "resume",
    "sized",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"outrange.lm.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
