"""LiteRT's benchmark_model: what it is asked, and what its output says; recorded, for no test has the program."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgekd import benchmark_model
from edgekd.board import Board
from edgekd.device import Device
from edgekd.errors import EdgekdError

OUTPUT = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: count=34 first=18535 curr=14205 min=14102 max=18535 avg=14462.3 std=724

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=79449 curr=14309 min=14101 max=79449 avg=14575.2 std=9100

INFO: Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 14462.3, Inference (avg): 14575.2
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual.
INFO: Memory footprint delta from the start of the tool (MB): init=6.375 overall=12.8125
INFO: Overall peak memory footprint (MB) via periodic monitoring: 21.5
"""


def test_its_output() -> None:
    found = benchmark_model.read(OUTPUT.splitlines(keepends=True), "tflite_int8", 16, 1)
    assert (found.load, found.first, found.mean) == pytest.approx((0.005685, 0.018535, 0.0145752))
    assert (found.low, found.high) == pytest.approx((0.014101, 0.079449))
    assert (found.runs, found.peak_memory) == (50, 21_500_000)
    assert str(found).startswith(
        "tflite_int8, 1 x 16, 1 threads, by benchmark_model: mean 14.58 ms (14.10 to 79.45 in 50"
    )


@pytest.mark.parametrize("kept", [1, 6, 7])
def test_output_without_a_result_is_none(kept: int) -> None:
    with pytest.raises(EdgekdError, match="told no result of x at length 16"):
        benchmark_model.read(OUTPUT.splitlines()[:kept], "x", 16, 1)


def test_what_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "output").write_text(OUTPUT)
    program = tmp_path / "benchmark_model"
    # It came without leave to be run, and talks on standard error.
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncat {tmp_path}/output >&2\n')
    (tmp_path / "tflite").mkdir()
    names = b"length_16_input_ids length_16_attention_mask length_16_token_type_ids"
    (tmp_path / "tflite" / "model.tflite").write_bytes(names)
    artifact: Any = SimpleNamespace(path=tmp_path / "tflite", manifest=SimpleNamespace(facts={"lengths": [16, 32]}))
    with Board(Device(name="phone", benchmark_model=program)) as board:
        told = list(benchmark_model.measure(board, artifact, "tflite", (1, 4)))
        (tmp_path / "tflite" / "model.tflite").write_bytes(b"length_16_input_ids length_16_attention_mask")
        list(benchmark_model.measure(board, artifact, "tflite", (2,)))
        (tmp_path / "tflite" / "model.tflite").write_bytes(b"length_16_input_ids length_16_dictionary")
        with pytest.raises(EdgekdError, match="tflite reads a dictionary"):
            next(benchmark_model.measure(board, artifact, "tflite", (1,)))
    assert [(one.length, one.threads) for one in told] == [(16, 1), (16, 4), (32, 1), (32, 4)]
    *_, last, _, two = (line.split() for line in (tmp_path / "asked").read_text().splitlines())
    assert "--input_layer=length_32_input_ids,length_32_attention_mask" in two
    assert f"--graph={tmp_path}/tflite/model.tflite" in last and "--num_threads=4" in last
    assert "--signature_to_run_for=length_32" in last
    assert "--input_layer=length_32_input_ids,length_32_attention_mask,length_32_token_type_ids" in last
    assert "--input_layer_shape=1,32:1,32:1,32" in last
    # A second kind of segment would be outside its table, and the mask is of whole rows.
    ranges = "length_32_input_ids,0,99:length_32_attention_mask,1,1:length_32_token_type_ids,0,0"
    assert f"--input_layer_value_range={ranges}" in last


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        Board(Device(name="phone", benchmark_model=tmp_path / "none")) as board,
        pytest.raises(EdgekdError, match=r"benchmark_model: .*none is no file"),
    ):
        next(benchmark_model.measure(board, None, "x", (1,)))  # type: ignore[arg-type]
