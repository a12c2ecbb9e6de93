"""A model without what its answer does not need: the same logits, and fewer operations in what is exported."""

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from edgekd.kd.encoder import load_classifier
from edgekd.kd.lean import lean
from edgekd.runtimes.onnxruntime import _SLOWER
from edgekd.stage import STAGES, Job
from tests.conftest import artifact, build_encoder

LAYERS = 3


def rows(kind: str) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 20, (4, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 7:], mask[3, 2:] = 0, 0
    types = {} if kind in ("distilbert", "roberta") else {"token_type_ids": torch.zeros_like(ids)}
    return {"input_ids": ids, "attention_mask": (mask[:, None, None, :].float() - 1) * 1e4, **types}


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "camembert", "xlm-roberta"])
def test_the_same_logits_of_one_row_in_the_last_layer(kind: str, tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path / kind, kind, LAYERS), attn_implementation="eager").eval()
    given = rows(kind)
    seen: list[int] = []
    with torch.no_grad():
        expected = model(**given).logits
        lean(model)
        last = next(m for n, m in model.named_modules() if n.endswith(f"layer.{LAYERS - 1}.intermediate"))
        last.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
        torch.testing.assert_close(model(**given).logits, expected, rtol=1e-5, atol=1e-6)
    assert seen == [1]


@pytest.mark.parametrize("kind", ["distilbert", "albert"])
def test_other_families_stay_as_they_are(kind: str, tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path / kind, kind), attn_implementation="eager")
    before = copy.deepcopy(str(model))
    assert str(lean(model)) == before


def test_a_model_that_answers_for_each_token_keeps_its_last_layer(tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path / "bert"), for_tokens=True, num_labels=3)
    before = str(model)
    assert str(lean(model)) == before


def test_the_weights_keep_their_names(tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path / "bert"), attn_implementation="eager")
    names = list(model.state_dict())
    assert list(lean(model).state_dict()) == names


def operators(file: Path, scratch: Path) -> Counter[str]:
    """What ONNX Runtime really runs of a file, after its own rewrites."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(scratch / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER)
    return Counter(node.op_type for node in onnx.load(scratch / "optimized.onnx").graph.node)


def test_what_an_exporter_may_not_lose(tmp_path: Path, job: Callable[..., Job]) -> None:
    """GELU and each norm are one operator, each quantized product one with its scales, and each softmax's product with
    the keys has its factor inside.
    """
    source = job("onnx", artifact(build_encoder(tmp_path / "source", "bert", LAYERS), "torch"))
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(source)
    quantized = job("int8", artifact(source.out, "onnx"))
    STAGES.get("quantize_onnx").model_validate({"source": "x"}).run(quantized)
    for folder in (source.out, quantized.out):
        found = operators(folder / "model.onnx", tmp_path)
        assert found["Gelu"] + found["BiasGelu"] == LAYERS
        assert found["LayerNormalization"] == 2 * LAYERS + 1
        assert found["FusedMatMul"] == found["Softmax"] == LAYERS
        assert not {"Erf", "Div", "Sqrt", "ReduceMean", "SkipLayerNormalization"} & set(found)
    # Six a layer, pooler and classifier; queries, keys and values of a layer share what quantizes their input.
    assert found["DynamicQuantizeMatMul"] + found["MatMulIntegerToFloat"] == 6 * LAYERS + 2
    assert found["DynamicQuantizeLinear"] == LAYERS
    assert not {"MatMulInteger", "Gemm"} & set(found)
