"""Converting an opened model to another rotary scheme, and saving it as a folder that ``from_pretrained`` reads."""

from pathlib import Path
from typing import Any

from outrange.core.atomic import writable
from outrange.core.errors import BadInput
from outrange.lm.fetch import whole_folder
from outrange.lm.opening import OpenedModel
from outrange.lm.rotary import convert
from outrange.lm.schemes import RotaryKind


def save_converted(opened: OpenedModel, folder: Path, p: float = 0.75, kind: RotaryKind = "p-rope") -> dict[str, Any]:
    """Convert a model and write it, with its tokenizer, as a new Hugging Face folder, complete or not at all.

    Returns:
        The ``rope_parameters`` of what was written. A rope type that begins with "outrange_" needs ``import
        outrange.lm.rotary`` before ``from_pretrained``.

    Raises:
        BadInput: the folder exists, it cannot be written, or the model cannot be converted.
    """
    check_new_folder(folder)
    model = convert(opened.model, p, kind)
    with writable("out", folder), whole_folder(folder) as partial_folder:
        model.save_pretrained(partial_folder)
        if opened.tokenizer is not None:
            opened.tokenizer.save_pretrained(partial_folder)
    return model.config.rope_parameters


def check_new_folder(folder: Path) -> None:
    """Raise ``BadInput`` if a folder to write exists already."""
    if folder.exists():
        raise BadInput(f"out: {str(folder)!r} is there already; give a new folder")
