"""Hooks against what the models themselves say of their insides."""

import math
from pathlib import Path

import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd import encoder as encoders
from edgekd.kd.encoder import chosen_layers, load_classifier
from edgekd.kd.student import shaped
from edgekd.kd.tap import Tap
from edgekd.kd.trace import Needs
from edgekd.start import Shape
from tests.conftest import build_encoder

BATCH = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    "token_type_ids": torch.zeros(2, 5, dtype=torch.int64),
}


def all_insides(layers: int) -> Needs:
    numbers = frozenset(range(1, layers + 1))
    return Needs(numbers | {0}, numbers, numbers)


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert"])
def test_scores_are_what_the_models_attention_is_made_of(kind: str, tmp_path: Path) -> None:
    folder = build_encoder(tmp_path, kind, layers=3)
    model = load_classifier(folder, attn_implementation="eager").eval()
    trace = Tap(model).trace(BATCH, all_insides(3))
    inputs = {name: BATCH[name] for name in encoders.input_names(model)}
    with torch.no_grad():
        plain = model(**inputs, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(trace.logits, plain.logits)
    assert len(trace.queries) == len(trace.keys) == len(trace.values) == len(plain.attentions) == trace.depth == 3
    hidden_by_mask = (1 - BATCH["attention_mask"])[:, None, None, :] * -1e9
    for layer, attention in enumerate(plain.attentions, start=1):
        found = torch.softmax(trace.scores[layer] + hidden_by_mask, dim=-1)
        torch.testing.assert_close(found, attention, atol=1e-5, rtol=1e-5)
    assert len(trace.hidden) == len(plain.hidden_states)
    for layer, theirs in enumerate(plain.hidden_states):
        torch.testing.assert_close(trace.hidden[layer], theirs)


def test_no_insides_are_kept_where_none_are_asked_for(encoder: Path) -> None:
    tap = Tap(load_classifier(encoder).eval())
    assert not tap.trace(BATCH, Needs()).hidden and not tap.trace(BATCH, Needs()).scores
    some = tap.trace(BATCH, Needs(hidden=frozenset({2}), scores=frozenset({3})))
    assert list(some.hidden) == [2] and list(some.scores) == [3]


def test_values_are_what_the_attention_mixes(encoder: Path) -> None:
    model = load_classifier(encoder, attn_implementation="eager").eval()
    trace = Tap(model).trace(BATCH, all_insides(4))
    layer = model.bert.encoder.layer[1].attention.self
    torch.testing.assert_close(trace.values[2], layer.value(trace.hidden[1]))


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


def test_a_shared_layer_is_used_fewer_times(tmp_path: Path) -> None:
    albert = load_classifier(build_encoder(tmp_path, "albert", layers=3)).eval()
    student = chosen_layers(albert, [1, 2]).eval()
    whole = Tap(albert).trace(BATCH, all_insides(3))
    part = Tap(student).trace(BATCH, all_insides(2))
    assert part.depth == 2
    torch.testing.assert_close(part.hidden[2], whole.hidden[2])


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert"])
def test_new_weights_of_the_same_shape(kind: str, tmp_path: Path) -> None:
    whole = load_classifier(build_encoder(tmp_path, kind, layers=3))
    fresh = shaped(whole, Shape(layers=2, random=True))
    kept = shaped(whole, Shape(layers=2))
    assert fresh.config.num_hidden_layers == 2
    ours, theirs = (model.get_input_embeddings().weight for model in (fresh, kept))
    assert ours.shape == theirs.shape and not torch.equal(ours, theirs)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="cannot be loaded as an encoder"):
        load_classifier(tmp_path)


def test_scaling_is_by_the_root_of_the_heads_width(encoder: Path) -> None:
    trace = Tap(load_classifier(encoder).eval()).trace(BATCH, all_insides(4))
    queries, keys = (states[0].view(5, 4, 8)[:, 1] for states in (trace.queries[1], trace.keys[1]))
    torch.testing.assert_close(trace.scores[1][0, 1], queries @ keys.T / math.sqrt(8))
