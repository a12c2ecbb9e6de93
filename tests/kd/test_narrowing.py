"""Narrower encoders: exact where nothing is lost, near where little is, refused where it cannot be."""

from pathlib import Path

import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd import tagger
from edgekd.kd.encoder import load_classifier
from edgekd.kd.narrowing import _attention, _inner, low_rank, narrowed, principal
from tests.conftest import build_encoder


def test_principal_directions_by_hand() -> None:
    table = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    basis = principal(table, 2)
    assert torch.allclose(basis.abs(), torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), atol=1e-6)


def test_low_rank_is_the_nearest_product() -> None:
    left, right = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    ours, theirs = low_rank(left, right, 1)
    assert torch.allclose(ours.T @ theirs, torch.tensor([[6.0, 0.0], [0.0, 0.0]]), atol=1e-5)
    ours, theirs = low_rank(left, right, 2)
    assert torch.allclose(ours.T @ theirs, left.T @ right, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_as_wide_as_before_gives_the_same_answers(kind: str, tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path, kind)).eval()
    same = narrowed(model, 32, 64).eval()
    rows = torch.randint(5, 20, (3, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(same(rows).logits, model(rows).logits, atol=1e-4, rtol=0)


def test_a_turned_space_keeps_the_attention(tmp_path: Path) -> None:
    """At full width a basis only turns the space: heads' scores must stay what they were for the turned states."""
    model = load_classifier(build_encoder(tmp_path)).eval()
    same = load_classifier(build_encoder(tmp_path)).eval()
    basis = principal(model.get_input_embeddings().weight, 32)
    states = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    for old, new in zip(model.base_model.encoder.layer, same.base_model.encoder.layer, strict=True):
        with torch.no_grad():
            _attention(old.attention, new.attention, basis, 4)
            _inner(old, new, basis)
        theirs = old.attention.output.dense(old.attention.self(states)[0]) @ basis
        ours = new.attention.output.dense(new.attention.self(states @ basis)[0])
        assert torch.allclose(ours, theirs, atol=1e-4)
        inside = old.output.dense(old.intermediate(states)) @ basis
        assert torch.allclose(new.output.dense(new.intermediate(states @ basis)), inside, atol=1e-4)


def test_a_narrower_tagger_keeps_its_dictionary_and_chain(tmp_path: Path) -> None:
    whole = load_classifier(build_encoder(tmp_path), num_labels=5, dictionary=(("person", "place"), False)).eval()
    torch.nn.init.normal_(whole.chain.transitions)
    rows = torch.randint(5, 20, (3, 9), generator=torch.Generator().manual_seed(0))
    told = torch.zeros(3, 9, whole.bits)
    told[0, 2, 3] = 1
    same, less = narrowed(whole, 32, 64).eval(), narrowed(whole, 16).eval()
    torch.testing.assert_close(
        same(rows, rows * 0 + 1, told).logits, whole(rows, rows * 0 + 1, told).logits, atol=1e-4, rtol=0
    )
    assert less(rows, rows * 0 + 1, told).logits.shape == (3, 9, 5)
    assert torch.equal(less.chain.transitions, whole.chain.transitions)
    assert torch.equal(less.classifier.weight[:, 16:], whole.classifier.weight[:, 32:])
    lstm = tagger.recurrent(whole, 16, 12)
    with pytest.raises(EdgekdError, match="a BiLSTM cannot be narrowed"):
        narrowed(lstm, 8)


def test_a_narrower_one_runs_and_has_its_sizes(tmp_path: Path) -> None:
    model = narrowed(load_classifier(build_encoder(tmp_path)), 16)
    assert (model.config.hidden_size, model.config.intermediate_size) == (16, 32)
    assert model(torch.ones((2, 4), dtype=torch.long)).logits.shape == (2, 2)


def test_what_cannot_be_narrowed_is_refused(tmp_path: Path) -> None:
    bert = load_classifier(build_encoder(tmp_path / "bert"))
    for width in (18, 36):
        with pytest.raises(EdgekdError, match=f"width {width} is not a multiple of the 4 heads up to 32"):
            narrowed(bert, width)
    with pytest.raises(EdgekdError, match="inner 65 is more than the 64"):
        narrowed(bert, 16, 65)
    with pytest.raises(EdgekdError, match="a distilbert encoder cannot be narrowed"):
        narrowed(load_classifier(build_encoder(tmp_path / "other", "distilbert")), 16)
