"""Hooks against what the models themselves say of their insides."""

import math
from pathlib import Path

import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd import encoder as encoders
from edgekd.kd.encoder import Tap, chosen_layers, load_classifier
from tests.conftest import build_encoder

BATCH = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    "token_type_ids": torch.zeros(2, 5, dtype=torch.int64),
}


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert"])
def test_scores_are_what_the_models_attention_is_made_of(kind: str, tmp_path: Path) -> None:
    folder = build_encoder(tmp_path, kind, layers=3)
    model = load_classifier(folder, attn_implementation="eager").eval()
    trace = Tap(model).trace(BATCH)
    inputs = {name: BATCH[name] for name in encoders.input_names(model)}
    with torch.no_grad():
        plain = model(**inputs, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(trace.logits, plain.logits)
    assert len(trace.queries) == len(trace.keys) == len(plain.attentions) == 3
    hidden_by_mask = (1 - BATCH["attention_mask"])[:, None, None, :] * -1e9
    for layer, attention in enumerate(plain.attentions, start=1):
        found = torch.softmax(trace.scores(layer) + hidden_by_mask, dim=-1)
        torch.testing.assert_close(found, attention, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(trace.hidden, plain.hidden_states, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_no_insides_are_kept_where_none_are_asked_for(encoder: Path) -> None:
    trace = Tap(load_classifier(encoder).eval(), insides=False).trace(BATCH)
    assert trace.hidden == trace.queries == ()


def test_a_student_of_all_layers_is_the_teacher(encoder: Path) -> None:
    teacher = load_classifier(encoder).eval()
    student = chosen_layers(teacher, [1, 2, 3, 4]).eval()
    with torch.no_grad():
        torch.testing.assert_close(student(**BATCH).logits, teacher(**BATCH).logits)


def test_chosen_layers_are_copies_of_those(encoder: Path) -> None:
    teacher = load_classifier(encoder)
    student = chosen_layers(teacher, [2, 4])
    for own, theirs in ((0, 1), (1, 3)):
        ours = student.bert.encoder.layer[own].state_dict()
        for name, value in teacher.bert.encoder.layer[theirs].state_dict().items():
            assert torch.equal(ours[name], value) and ours[name].data_ptr() != value.data_ptr()
    assert torch.equal(student.classifier.weight, teacher.classifier.weight)
    assert torch.equal(student.bert.embeddings.word_embeddings.weight, teacher.bert.embeddings.word_embeddings.weight)


def test_shared_layers_cannot_be_chosen(tmp_path: Path) -> None:
    albert = load_classifier(build_encoder(tmp_path, "albert", layers=3))
    with pytest.raises(EdgekdError, match="albert encoder are shared"):
        chosen_layers(albert, [1])


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="cannot be loaded as an encoder"):
        load_classifier(tmp_path)


def test_scaling_is_by_the_root_of_the_heads_width(encoder: Path) -> None:
    trace = Tap(load_classifier(encoder).eval()).trace(BATCH)
    queries, keys = (states[0].view(5, 4, 8)[:, 1] for states in (trace.queries[0], trace.keys[0]))
    torch.testing.assert_close(trace.scores(1)[0, 1], queries @ keys.T / math.sqrt(8))
