"""Texts that the instruments read, and how a text is cut into windows.

``SHAKESPEARE`` is the text that is read where none is named.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

SHAKESPEARE = Path(__file__).parent / "shakespeare.txt"
SHAKESPEARE_NAME = "ten quotations of Shakespeare"
LEAST_TOKENS = 16
"""of a text, and of a window"""


def split_windows(token_ids: Sequence[int], length: int, tokenizer: Any) -> "list[Tensor]":
    """Token ids as windows (1, at most ``length``), each behind the beginning-of-sequence token of the whole, if any.

    A last window of under 16 tokens is left out.

    Raises:
        BadInput: there are fewer than 16 tokens.
    """
    import torch

    if len(token_ids) < LEAST_TOKENS:
        raise BadInput(f"text: has {len(token_ids)} tokens; a scan needs at least {LEAST_TOKENS}")
    has_beginning = tokenizer is not None and token_ids[0] == tokenizer.bos_token_id
    beginning = [token_ids[0]] if has_beginning else []
    rest = token_ids[len(beginning) :]
    step = length - len(beginning)
    windows = [torch.tensor([[*beginning, *rest[start : start + step]]]) for start in range(0, len(rest), step)]
    return [window for k, window in enumerate(windows) if k == 0 or window.shape[1] >= LEAST_TOKENS]
