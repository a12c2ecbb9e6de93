"""What transformers loads, and how: from a local folder, as safetensors, and never code that lies in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from edgekd.errors import EdgekdError
from edgekd.kd import coded
from edgekd.pretrained import again

SAFE: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
LOCAL: Mapping[str, Any] = {**SAFE, "use_safetensors": True, "dtype": torch.float32}


def pretrained(kind: Any, folder: Path, **given: Any) -> tuple[Any, Mapping[str, Any]]:
    """A model of one of transformers' classes from a folder, and what was missing or of another size.

    transformers knows no coded token table: it is given the plain one that the codes stand for, which then goes.
    """
    known = configuration(folder)
    if not getattr(known, coded.FIELD, None):
        found: tuple[Any, Mapping[str, Any]] = kind.from_pretrained(folder, output_loading_info=True, **LOCAL, **given)
        return found
    state = load_file(folder / "model.safetensors")
    prefix = next((name for name in state if name.endswith(".codes")), "").removesuffix("codes")
    if f"{prefix}books" not in state or not prefix:
        raise EdgekdError(f"{folder}: the codes of its token table, or their codebooks, are missing", again(folder))
    table = coded.of_state(state.pop(f"{prefix}codes"), state.pop(f"{prefix}books"))
    if table.codes.shape[1] != getattr(known, coded.FIELD):
        told = f"{table.codes.shape[1]} codes a token, and its config.json says {getattr(known, coded.FIELD)}"
        raise EdgekdError(f"{folder} has {told}", again(folder))
    state[f"{prefix}weight"] = table.weight.detach()
    known, given = transformers.AutoConfig.from_pretrained(folder, return_unused_kwargs=True, **SAFE, **given)
    with torch.device("meta"):  # an Auto class takes no weights in hand: the class that it stands for does
        own = type(kind.from_config(known))
    model, told = own.from_pretrained(
        None, config=known, state_dict=state, output_loading_info=True, dtype=torch.float32, **given
    )
    model.set_input_embeddings(table)
    return model, told


def configuration(folder: Path) -> Any:
    """A folder's config.json. Raises EdgekdError where transformers knows no such model."""
    try:
        return transformers.AutoConfig.from_pretrained(folder, **SAFE)
    except Exception as error:  # its validators raise their own
        raise unloadable(folder, error) from None


def unloadable(folder: Path, error: Exception) -> EdgekdError:
    """A library's complaint about an encoder, in a sentence."""
    if "trust_remote_code" in str(error):  # what it says of that is no advice
        hint = (
            "It is never run here. Take a model that transformers itself knows, such as google-bert/bert-base-uncased."
        )
        return EdgekdError(f"{folder} needs code of its own to be loaded", hint)
    hint = "It needs the config.json and the model.safetensors of an encoder."
    return EdgekdError(f"{folder} cannot be loaded as an encoder: {_sentence(error)}", hint)


def _sentence(error: Exception) -> str:
    told = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
    return f"nothing is called {told}" if isinstance(error, KeyError) else told[:400] or type(error).__name__


def tokenizer_of(folder: Path) -> Any:
    """The fast tokenizer of a folder. Raises EdgekdError where it has none."""
    configuration(folder)  # which transformers reads too, and would complain of as if it were the tokenizer's
    try:
        found = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True, **SAFE)
        if not found.is_fast:
            raise ValueError("it is a slow one")
    except Exception as error:  # transformers and tokenizers each raise their own
        raise EdgekdError(f"{folder} has no fast tokenizer: {_sentence(error)}", again(folder)) from None
    return found


def check_loaded(model: Any, told: Mapping[str, Any], folder: Path) -> None:
    """Raises EdgekdError where the encoder's own weights are not all in the folder: what is missing would be drawn
    anew, in silence. A head, or a pooler for it, may be new.
    """
    own = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
    lacking = {"is missing": told["missing_keys"], "has another size": [entry[0] for entry in told["mismatched_keys"]]}
    for what, names in lacking.items():
        found = sorted(name for name in names if name.startswith(own) and "pooler." not in name)
        if found:
            more = f", with {len(found) - 1} more" if len(found) > 1 else ""
            raise EdgekdError(f"{folder}: the weight {found[0]} {what}{more}", again(folder))


def check_finite(model: Any, folder: Path) -> None:
    """Raises EdgekdError where a weight is no number."""
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise EdgekdError(f"{folder}: the weight {name} holds what is no finite number", again(folder))
