"""Taggers that read a dictionary: an encoder or a BiLSTM, what the dictionary says, and a linear-chain CRF over tags.

Of CN112699678A the abstract says that dictionary features are combined with the language model's before it is tuned.
The shape here is reconstructed: X = [H; D W_d], E = X W_e + b, and a chain over E. The small student reads the
dictionary before its BiLSTM as well.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.modeling_outputs import TokenClassifierOutput

from edgekd.artifact import TAGGER
from edgekd.dictionary import PLACES
from edgekd.kd.coded import install
from edgekd.kd.loading import check_finite, check_loaded, configuration, pretrained

_TOLD = 64  # width of what the dictionary says, projected
_WEIGHTS = "model.safetensors"


class LinearChain(nn.Module):
    """Scores of a first tag, of a tag (column) after another (row), and of a last tag."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))


class BiLstm(nn.Module):
    """Token embeddings and what the dictionary says, read from both ends.

    It has no bias: a constant input stands for one, so that what is padded, whose inputs are all zero, leaves the state
    at zero, and a row gives the same however far it is filled up.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        width = config.embedding_size + _TOLD + 1
        self.lstm = nn.LSTM(width, config.hidden_size // 2, bias=False, batch_first=True, bidirectional=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, told: Tensor) -> Tensor:
        there = attention_mask.unsqueeze(-1).to(told.dtype)
        states: Tensor = self.lstm(torch.cat([self.embeddings(input_ids), told, torch.ones_like(there)], -1) * there)[0]
        return states


class Tagger(nn.Module):
    """Logits (B, n, tags), the chain's emissions, of token ids and of a dictionary's bits (B, n, 4 kinds)."""

    def __init__(self, body: Any, kinds: tuple[str, ...], longest: bool) -> None:
        super().__init__()
        self.base_model_prefix = "body"  # as transformers calls what stands below a head
        self.body, self.config, self.kinds, self.longest = body, body.config, kinds, longest
        self.attends = not isinstance(body, BiLstm)
        self.dictionary = nn.Linear(self.bits, _TOLD, bias=False)
        self.dropout = nn.Dropout(0.1 if self.attends else 0.5)
        self.classifier = nn.Linear(self.config.hidden_size + _TOLD, self.config.num_labels)
        self.chain = LinearChain(self.config.num_labels)

    @property
    def bits(self) -> int:
        return PLACES * len(self.kinds)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        dictionary: Tensor,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> TokenClassifierOutput:
        told = self.dictionary(dictionary)
        if not self.attends:
            states, hidden = self.body(input_ids, attention_mask, told), None
        else:
            more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            found = self.body(
                input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=output_hidden_states, **more
            )
            states, hidden = found.last_hidden_state, found.hidden_states
        logits = self.classifier(torch.cat([self.dropout(states), told], dim=-1))
        return TokenClassifierOutput(logits=logits, hidden_states=hidden)

    def get_input_embeddings(self) -> Any:
        return self.body.get_input_embeddings() if self.attends else self.body.embeddings

    def set_input_embeddings(self, table: nn.Module) -> None:
        if self.attends:
            self.body.set_input_embeddings(table)
        else:
            self.body.embeddings = table

    def save(self, folder: Path) -> None:
        self.config.architectures = [type(self.body).__name__]
        self.config.save_pretrained(folder)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / _WEIGHTS)
        chain = {name: value.detach().tolist() for name, value in self.chain.named_parameters()}
        told = {"kinds": self.kinds, "longest": self.longest, **chain}
        (folder / TAGGER).write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")


def is_tagger(folder: Path) -> bool:
    return (folder / TAGGER).is_file()


def load(folder: Path, **config: Any) -> Tagger:
    """A tagger that was saved to a folder."""
    told = json.loads((folder / TAGGER).read_text(encoding="utf-8"))
    raw = json.loads((folder / "config.json").read_text())
    if raw["architectures"] == [BiLstm.__name__]:
        body: Any = BiLstm(transformers.PretrainedConfig(**raw))
    else:
        kept = configuration(folder)
        body = transformers.AutoModel.from_config(kept, dtype=torch.float32, **_without_pooler(kept), **config)
    found = Tagger(body, tuple(told["kinds"]), told["longest"])
    install(found).load_state_dict(load_file(folder / _WEIGHTS))
    return found


def start(folder: Path, kinds: tuple[str, ...], longest: bool, **config: Any) -> Tagger:
    """A pretrained encoder as the body of a tagger whose other weights are new."""
    kept = configuration(folder)
    body, told = pretrained(transformers.AutoModel, folder, **_without_pooler(kept), **config)
    check_loaded(body, told, folder)
    check_finite(body, folder)
    return Tagger(body, kinds, longest)


def renewed(like: Tagger, config: Any = None) -> Tagger:
    """A tagger on an encoder, with new weights; `config`: of the encoder's, where it is to have another shape."""
    shape = config or like.config
    body = type(like.body)._from_config(shape, **_without_pooler(shape)).float()
    return install(Tagger(body, like.kinds, like.longest))


def recurrent(like: Tagger, embedding: int, hidden: int) -> Tagger:
    """A new BiLSTM tagger with the tags, the kinds and the vocabulary of another; `hidden` are the states of a way."""
    own = ("num_labels", "id2label", "label2id", "pad_token_id")
    config = transformers.PretrainedConfig(
        vocab_size=like.get_input_embeddings().num_embeddings,
        embedding_size=embedding,
        hidden_size=2 * hidden,
        num_hidden_layers=0,
        num_attention_heads=1,
        max_position_embeddings=512,
        **{name: getattr(like.config, name) for name in own},
    )
    return Tagger(BiLstm(config), like.kinds, like.longest)


def _without_pooler(config: Any) -> dict[str, Any]:
    """What keeps an encoder from making a layer that no tagger reads, where it has one."""
    return {"add_pooling_layer": False} if config.model_type in ("bert", "roberta", "albert", "xlm-roberta") else {}
