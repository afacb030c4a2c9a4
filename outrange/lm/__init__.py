"""Small language models, as Hugging Face models: text and tokenizers, training, evaluation, rotary position schemes;
and opening any Hugging Face model safely (``outrange.lm.opening``).

>>> from outrange import lm
>>> lm.preset("smoke", text=("stories/",)).context_length
32

Nothing here imports torch or transformers before it is used.
"""

from typing import TYPE_CHECKING

from outrange.core.lazy import lazy_names

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


__getattr__ = lazy_names(
    __name__,
    {
        "comparison": ("compare_schemes",),
        "config": ("ModelConfig", "Rotary", "TrainConfig", "preset", "sized"),
        "evaluation": ("perplexity", "perplexity_by_length"),
        "model": ("build_model", "export_model", "load_model"),
        "opening": ("open_config", "open_model"),
        "rotary": ("convert", "converted"),
        "text": ("documents", "fetch_bible"),
        "tokenizer": ("Corpus", "load_tokenizer", "prepare_corpus"),
        "training": ("Trainer", "resume", "train"),
    },
)
