"""Tokenizers of a few words for tests: letters one by one, or with runs of ones merged."""


def letters(merges=(), bos=True, symbols="0123456789,"):
    """A byte-pair tokenizer of single characters, with pairs such as ("1", "1") merged; `<s>` is its first token, if it has one."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    alphabet = [*symbols, *"abcdefghijklmnopqrstuvwxyzCHJTS.:?'<>+ "]
    known = dict.fromkeys(["<s>", "<unk>", *alphabet, *("".join(pair) for pair in merges)])
    inner = Tokenizer(
        models.BPE(vocab={word: k for k, word in enumerate(known)}, merges=list(merges), unk_token="<unk>")
    )
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **({"bos_token": "<s>"} if bos else {}))
