"""A student's first state: layers made of one layer's attention and another's feed-forward."""

from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd.checks import check
from edgekd.kd.encoder import load_classifier
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.student import shaped
from edgekd.start import Shape
from tests.conftest import build_encoder

ATTENTION = {"bert": ("attention",), "distilbert": ("attention", "sa_layer_norm")}


def layers(model: Any) -> Any:
    return (
        model.base_model.encoder.layer if hasattr(model.base_model, "encoder") else model.base_model.transformer.layer
    )


@pytest.mark.parametrize("family", ATTENTION)
@pytest.mark.parametrize(
    ("shape", "attention", "feed_forward"),
    [
        ({"merge": 2}, [1, 3, 5], [2, 4, 6]),
        ({"merge": 3}, [1, 4], [3, 6]),
        ({"merge": 6}, [1], [6]),
        ({"layers": [2, 6], "attention": [6, 1]}, [6, 1], [2, 6]),
        ({"layers": 3}, [2, 4, 6], [2, 4, 6]),
    ],
)
def test_layers_are_composed(
    tmp_path: Path, family: str, shape: dict[str, Any], attention: list[int], feed_forward: list[int]
) -> None:
    teacher = load_classifier(build_encoder(tmp_path, family, layers=6))
    student = shaped(teacher, Shape.model_validate(shape))
    assert student.config.num_hidden_layers == len(layers(student)) == len(attention)
    for layer, first, last in zip(layers(student), attention, feed_forward, strict=True):
        for name, value in layer.state_dict().items():
            number = first if name.split(".")[0] in ATTENTION[family] else last
            assert torch.equal(value, layers(teacher)[number - 1].state_dict()[name]), (name, number)
    assert torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight)
    assert torch.equal(student.classifier.weight, teacher.classifier.weight)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"merge": 3}, "4 layers cannot be merged by 3"),
        ({"layers": 2, "attention": [1]}, "2 layers and the attention of 1"),
        ({"layers": 2, "attention": [1, 9]}, "cannot take these layers of 4"),
    ],
)
def test_layers_that_cannot_be(encoder: Path, shape: dict[str, Any], told: str) -> None:
    with pytest.raises(EdgekdError, match=told):
        shaped(load_classifier(encoder), Shape.model_validate(shape))


def test_a_shared_layer_has_no_other_attention(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="an ALBERT encoder has one layer"):
        shaped(load_classifier(build_encoder(tmp_path, "albert")), Shape(merge=2))


def test_merging_chooses_the_layers() -> None:
    with pytest.raises(ValueError, match="merge chooses the layers"):
        Shape(merge=2, layers=3)


def test_widths_that_need_a_projection(encoder: Path) -> None:
    teacher = load_classifier(encoder)
    student = shaped(teacher, Shape(layers=2, width=16))
    raw = Phase(name="raw", terms=Terms(hidden=1), projected=False)
    with pytest.raises(EdgekdError, match="compares 16 neurons with 32, without a projection"):
        check(student, {"tuned": teacher}, [raw])
    assert Learner(shaped(teacher, Shape(layers=2)), {"tuned": teacher}, [raw]).beside.projection is None
