"""Encoders: loading and saving them, choosing their layers, cutting their tables."""

import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from edgekd.errors import EdgekdError
from edgekd.kd import coded, tagger
from edgekd.kd.coded import CodedTable
from edgekd.kd.loading import check_finite, check_loaded, configuration, pretrained, unloadable
from edgekd.kd.parts import in_attention
from edgekd.kd.tagger import Tagger

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "dictionary")
_FOR_TOKENS = "ForTokenClassification"  # how transformers' classes end
_FOR_ROWS = transformers.AutoModelForSequenceClassification

# Libraries that transformers loads where they are installed speak of GPU files they lack.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def input_names(model: Any) -> tuple[str, ...]:
    """The inputs an encoder really uses: token types only where it has an embedding for a second type."""
    known = inspect.signature(model.forward).parameters
    types = getattr(model.config, "type_vocab_size", 0) or 0
    return tuple(name for name in _INPUTS if name in known and (name != "token_type_ids" or types > 1))


def depth(model: Any) -> int:
    return int(model.config.num_hidden_layers)


def longest(model: Any) -> int:
    """Most tokens of an input. RoBERTa and its kin leave the first positions, up to padding's, unused."""
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    rows = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for table in tables
        if isinstance(table, nn.Embedding)
    ]
    return min(rows, default=model.config.max_position_embeddings)


def per_token(model: Any) -> bool:
    """Whether a model answers for each token of a row, instead of once for the row."""
    return isinstance(model, Tagger) or type(model).__name__.endswith(_FOR_TOKENS)


def load_classifier(
    folder: Path,
    for_tokens: bool | None = None,
    dictionary: "tuple[tuple[str, ...], bool] | None" = None,
    **config: Any,
) -> Any:
    """An encoder with a head for `num_labels` and `problem_type`, float32, from a local folder of safetensors.

    A head in the folder is kept where it fits; with `config`, one of another size is made anew. `for_tokens`: the head
    answers for each token; None: as the folder's model does. `dictionary`: the model is to be a tagger that reads one
    of these kinds, all its matches or (True) only the longest. A folder's own tagger stays what it is.
    """
    try:
        if tagger.is_tagger(folder):
            return tagger.load(folder, **{name: config[name] for name in config if name == "attn_implementation"})
        if dictionary is not None:
            with _quiet():
                return tagger.start(folder, *dictionary, **config)
        if for_tokens is None:
            known = configuration(folder).architectures or ()
            for_tokens = any(name.endswith(_FOR_TOKENS) for name in known)
        kind = transformers.AutoModelForTokenClassification if for_tokens else _FOR_ROWS
        with _quiet():
            model, told = pretrained(kind, folder, ignore_mismatched_sizes=bool(config), **config)
    except EdgekdError:
        raise
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise unloadable(folder, error) from None
    check_loaded(model, told, folder)
    if config:
        check_finite(model, folder)
    return model


def save(model: Any, folder: Path) -> None:
    """Weights as safetensors and config.json, without anything that depends on where they came from."""
    model.config._name_or_path = ""
    if isinstance(model, Tagger):
        model.save(folder)
        return
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def chosen_layers(teacher: Any, layers: Sequence[int], attention: Sequence[int] | None = None) -> Any:
    """A student that starts as the teacher's embeddings, head and some of its layers (numbers from 1, in order).

    `attention` are the layers whose attention, with its output and normalisation, they have instead of their own.
    ALBERT uses one layer many times: of it only their number is taken.
    """
    import copy

    if isinstance(teacher, Tagger):
        return _chosen_of_tagger(teacher, layers, attention or layers)
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    with _quiet():
        student = coded.install(type(teacher)._from_config(config))
    if config.model_type == "albert":
        student.load_state_dict(teacher.state_dict())
        return student.float()
    _set_layers(student, _composed(teacher, layers, attention or layers))
    theirs = {name: value for name, value in teacher.state_dict().items() if not name.startswith(_prefix(teacher))}
    student.load_state_dict(theirs, strict=False)
    return student.float()


def _composed(teacher: Any, layers: Sequence[int], attention: Sequence[int]) -> nn.ModuleList:
    """Copies of the teacher's layers, each with the attention of another, or its own."""
    import copy

    own = stack(teacher)
    chosen = nn.ModuleList(copy.deepcopy(own[number - 1]) for number in layers)
    for layer, number in zip(chosen, attention, strict=True):
        of_attention = {name: value for name, value in own[number - 1].state_dict().items() if in_attention(name)}
        layer.load_state_dict(of_attention, strict=False)
    return chosen


def _chosen_of_tagger(teacher: Tagger, layers: Sequence[int], attention: Sequence[int]) -> Tagger:
    import copy

    student = copy.deepcopy(teacher)
    if student.config.model_type != "albert":
        _set_layers(student, _composed(teacher, layers, attention))
    student.config.num_hidden_layers = len(layers)
    return student


def renewed(model: Any) -> Any:
    """An encoder of the same shape, with new weights."""
    with _quiet():
        if isinstance(model, Tagger):
            return tagger.renewed(model)
        return type(model)._from_config(model.config).float()


def keep_tokens(model: Any, kept: Sequence[int]) -> None:
    """Leave an encoder only these rows of its token table, in place; new id = position in `kept`."""
    old = model.get_input_embeddings()
    new_id = {token: number for number, token in enumerate(kept)}
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        if getattr(model.config, name, None) is not None:
            setattr(model.config, name, new_id.get(getattr(model.config, name)))
    model.config.vocab_size = len(kept)
    if isinstance(old, CodedTable):
        old.keep(list(kept))
        return
    padding = None if old.padding_idx is None else new_id.get(old.padding_idx)
    table = nn.Embedding(len(kept), old.embedding_dim, padding_idx=padding)
    table.weight.data = old.weight.data[list(kept)].clone()
    model.set_input_embeddings(table)


def keep_positions(model: Any, longest: int) -> None:
    """Cut an encoder's table of absolute positions to the first `longest`, in place; a shorter one stays."""
    for module in list(model.modules()):
        old = getattr(module, "position_embeddings", None)
        if isinstance(old, nn.Embedding) and old.num_embeddings > longest:
            table = nn.Embedding(longest, old.embedding_dim)
            table.weight.data = old.weight.data[:longest].clone()
            module.position_embeddings = table
            model.config.max_position_embeddings = longest


def stack(model: Any) -> nn.ModuleList:
    """An encoder's layers. Raises EdgekdError where it has none of its own."""
    return next(module for _, module in _stacks(model))


def _prefix(model: Any) -> str:
    return next(name for name, _ in _stacks(model)) + "."


def _set_layers(model: Any, layers: nn.ModuleList) -> None:
    parent, _, name = _prefix(model).rstrip(".").rpartition(".")
    setattr(model.get_submodule(parent), name, layers)


def _stacks(model: Any) -> Iterator[tuple[str, nn.ModuleList]]:
    """The stack of layers: the module list that is as long as the config says."""
    found = False
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth(model):
            found = True
            yield name, module
    if not found:
        raise EdgekdError(
            f"the layers of a {model.config.model_type} encoder are shared or not a list, so none can be chosen",
            "Start the student from a checkpoint: model: NAME.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Loading reports missing heads by warnings; here a new head is what is asked for."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
