"""A folder of pretrained weights, looked at before a library loads it: it may come from anybody."""

import shlex
from pathlib import Path
from typing import Any

from edgekd.decoding import json_object
from edgekd.errors import EdgekdError

# Unpickling runs whatever code the file names (Python's own warning in `pickle`).
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CONVERT = (
    "import sys, torch; from safetensors.torch import save_file; *old, new = sys.argv[1:]; "
    "read = [torch.load(file, map_location='cpu', weights_only=True) for file in old]; "
    "save_file({name: value.contiguous().clone() for part in read for name, value in part.get('state_dict', part)"
    ".items()}, new, {'format': 'pt'})"
)
_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model")
# Sizes above which nothing is an encoder, and building one would take all memory or all day.
_MOST, _MOST_LAYERS = 10_000_000, 1_000


def again(folder: Path) -> str:
    """What to type where something in a folder is missing or broken."""
    return f"Get it again, whole: hf download OWNER/NAME --local-dir {shlex.quote(str(folder))}"


def check(folder: Path) -> None:
    """Raises EdgekdError where config.json is none, or the weights are no safetensors."""
    try:
        config = json_object(folder / "config.json")
    except FileNotFoundError:
        raise EdgekdError(
            f"{folder} holds no pretrained model: config.json is missing", "Name the folder that holds it."
        ) from None
    except (OSError, ValueError) as error:
        hint = again(folder)
        raise EdgekdError(f"{folder / 'config.json'} cannot be read: {error}", hint) from None
    if not isinstance(config.get("model_type"), str):
        hint = 'Name the folder of an encoder, as save_pretrained writes it; such as "model_type": "bert".'
        raise EdgekdError(f"{folder / 'config.json'} has no model_type", hint)
    _check_sizes(config, folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        raise _without_weights(folder)
    if not any(file for pattern in _TOKENIZERS for file in folder.glob(pattern)):
        # transformers would make one that knows no word.
        raise EdgekdError(f"{folder} holds no tokenizer: tokenizer.json is missing", again(folder))


def _check_sizes(config: dict[str, Any], file: Path) -> None:
    for name, value in config.items():
        most = _MOST_LAYERS if "layer" in name else _MOST
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > most:
            raise EdgekdError(f"{file}: {name} is {value}, and no encoder's is above {most:,}", again(file.parent))


def _without_weights(folder: Path) -> EdgekdError:
    pickles = sorted(file for file in folder.iterdir() if file.suffix in _PICKLES and file.is_file())
    if not pickles:
        hint = f"Weights of other libraries are not read. {again(folder)}"
        return EdgekdError(f"{folder} holds no weights: model.safetensors is missing", hint)
    shards = [file for file in pickles if file.name.startswith("pytorch_model")] or pickles[:1]
    command = shlex.join(["python", "-c", _CONVERT, *map(str, shards), str(folder / "model.safetensors")])
    return EdgekdError(
        f"{folder} holds its weights as a pickle, {pickles[0].name}, which can run code when it is loaded",
        f"It is never loaded here. Make safetensors of its tensors alone: {command}",
    )
