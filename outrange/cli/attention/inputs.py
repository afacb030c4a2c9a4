"""What the attention commands share: arguments, a text from a file, and sentences on what is being done."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from outrange.core.errors import BadInput

Model = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(help='"smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub.'),
]
Dtype = Literal["float32", "bfloat16", "float16"]
LAST_SEED = (1 << 32) - 1
MAX_TEXT_BYTES = 1 << 26


def report_status(status: str) -> None:
    """Print a sentence on what is being done, apart from results."""
    print(status, file=sys.stderr)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        BadInput: it cannot be read, is not UTF-8, is too large, or holds nothing.
    """
    try:
        with open(path, "rb") as file:
            # one byte more than is allowed tells a file that is too large from one that just fits
            raw = file.read(MAX_TEXT_BYTES + 1)
        if len(raw) > MAX_TEXT_BYTES:
            raise BadInput(f"text: {str(path)!r} is larger than {MAX_TEXT_BYTES:,} bytes; give a part of it")
        text = raw.decode("utf-8")
    except OSError as error:
        raise BadInput(f"text: {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"text: {str(path)!r} is not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise BadInput(f"text: {str(path)!r} holds no words; give another file, or leave it out")
    return text
