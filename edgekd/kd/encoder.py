"""Encoders: loading, and reading their insides by hooks, so that no model is patched.

Attention scores are computed from what the query and key projections put out, so the model itself keeps its fast
attention kernel and nothing is computed for layers that no objective reads.
"""

import inspect
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from edgekd.errors import EdgekdError

# How BERT, RoBERTa, ELECTRA and ALBERT, and DistilBERT, call the projections of queries and keys.
_QUERY, _KEY = ("query", "q_lin"), ("key", "k_lin")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

# Libraries that transformers loads where they are installed speak of GPU files they lack.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


@dataclass(frozen=True)
class Trace:
    """What one forward pass of an encoder of N layers showed.

    logits (B, C); hidden: N + 1 tensors (B, n, d), the first the embedding output; queries and keys: N tensors
    (B, n, d) each; mask (B, n), 1 where there is a token.
    """

    logits: Tensor
    hidden: tuple[Tensor, ...]
    queries: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    mask: Tensor
    heads: int

    def scores(self, layer: int) -> Tensor:
        """QK^T / sqrt(d_k) of layer 1..N before the softmax, float32 (B, heads, n, n)."""

        def split(states: Tensor) -> Tensor:
            rows, length, width = states.shape
            return states.float().view(rows, length, self.heads, width // self.heads).transpose(1, 2)

        queries, keys = split(self.queries[layer - 1]), split(self.keys[layer - 1])
        # Scores differ by little from layer to layer of training: half precision would round the difference away.
        with torch.autocast(queries.device.type, enabled=False):
            return torch.matmul(queries, keys.transpose(-1, -2)) / math.sqrt(queries.shape[-1])


class Tap:
    """Hooks on an encoder's query and key projections; `trace` runs it and returns what they saw."""

    def __init__(self, model: nn.Module, insides: bool = True) -> None:
        self.model, self.insides = model, insides
        self._queries: list[Tensor] = []
        self._keys: list[Tensor] = []
        if insides:
            for kept, names in ((self._queries, _QUERY), (self._keys, _KEY)):
                found = [module for name, module in model.named_modules() if name.rpartition(".")[2] in names]
                if not found:
                    kind = getattr(model.config, "model_type", type(model).__name__)
                    raise EdgekdError(
                        f"a {kind} encoder's attention cannot be read: no projection is called {' or '.join(names)}",
                        "Use a BERT, RoBERTa, ELECTRA or DistilBERT encoder.",
                    )
                for module in found:
                    module.register_forward_hook(_keeper(kept))

    def trace(self, batch: Mapping[str, Tensor], forward: nn.Module | None = None) -> Trace:
        """`forward` is the model as a trainer wrapped it; the hooks are the same."""
        self._queries.clear()
        self._keys.clear()
        inputs = {name: batch[name] for name in input_names(self.model)}
        out = (forward or self.model)(**inputs, output_hidden_states=self.insides)
        config: Any = self.model.config
        trace = Trace(
            out.logits.float(),
            tuple(out.hidden_states) if self.insides else (),
            tuple(self._queries),
            tuple(self._keys),
            batch["attention_mask"],
            config.num_attention_heads,
        )
        self._queries.clear()
        self._keys.clear()
        return trace


def _keeper(kept: list[Tensor]) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        kept.append(output)

    return keep


def input_names(model: Any) -> tuple[str, ...]:
    """The inputs an encoder really uses: token types only where it has an embedding for a second type."""
    known = inspect.signature(model.forward).parameters
    types = getattr(model.config, "type_vocab_size", 0) or 0
    return tuple(name for name in _INPUTS if name in known and (name != "token_type_ids" or types > 1))


def depth(model: Any) -> int:
    return int(model.config.num_hidden_layers)


def load_classifier(folder: Path, **config: Any) -> Any:
    """An encoder with a head for `num_labels` and `problem_type`, float32, from a local folder of safetensors.

    A head in the folder is kept where it fits; with `config`, one of another size is made anew.
    """
    try:
        with _quiet():
            return transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                ignore_mismatched_sizes=bool(config),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                **config,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise EdgekdError(
            f"{folder} cannot be loaded as an encoder: {error}", "It needs config.json and model.safetensors."
        ) from None


def save(model: Any, folder: Path) -> None:
    """Weights as safetensors and config.json, without anything that depends on where they came from."""
    model.config._name_or_path = ""
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def chosen_layers(teacher: Any, layers: "list[int]") -> Any:
    """A student that starts as the teacher's embeddings, head and some of its layers (numbers from 1, in order)."""
    import copy

    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    with _quiet():
        student = transformers.AutoModelForSequenceClassification.from_config(config)
    own = _layers(teacher)
    _set_layers(student, nn.ModuleList(copy.deepcopy(own[number - 1]) for number in layers))
    theirs = {name: value for name, value in teacher.state_dict().items() if not name.startswith(_prefix(teacher))}
    student.load_state_dict(theirs, strict=False)
    return student.float()


def keep_tokens(model: Any, kept: Sequence[int]) -> None:
    """Leave an encoder only these rows of its token table, in place; new id = position in `kept`."""
    old = model.get_input_embeddings()
    new_id = {token: number for number, token in enumerate(kept)}
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        if getattr(model.config, name, None) is not None:
            setattr(model.config, name, new_id.get(getattr(model.config, name)))
    padding = None if old.padding_idx is None else new_id.get(old.padding_idx)
    table = nn.Embedding(len(kept), old.embedding_dim, padding_idx=padding)
    table.weight.data = old.weight.data[list(kept)].clone()
    model.set_input_embeddings(table)
    model.config.vocab_size = len(kept)


def keep_positions(model: Any, longest: int) -> None:
    """Cut an encoder's table of absolute positions to the first `longest`, in place; a shorter one stays."""
    for module in list(model.modules()):
        old = getattr(module, "position_embeddings", None)
        if isinstance(old, nn.Embedding) and old.num_embeddings > longest:
            table = nn.Embedding(longest, old.embedding_dim)
            table.weight.data = old.weight.data[:longest].clone()
            module.position_embeddings = table
            model.config.max_position_embeddings = longest


def _layers(model: Any) -> nn.ModuleList:
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
