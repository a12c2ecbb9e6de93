"""Runs compared: statistics against values by hand, and the limits that a CI sets."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd import answers, comparing
from edgekd.comparing import Limits, Run
from edgekd.data import Split
from edgekd.errors import EdgekdError
from edgekd.report import Latency
from tests.conftest import Ran
from tests.test_page import emulated


@pytest.fixture
def base(ran: Ran) -> Run:
    [found] = comparing.load([ran.folder])
    return found


def stretched(latency: Latency, factor: float) -> Latency:
    return Latency(tuple(tuple(factor * second for second in process) for process in latency.processes))


def altered(run: Run, name: str, step: str = "onnx", flip: int = 0, slower: float = 1.0, larger: float = 1.0) -> Run:
    """A run whose answers to the first `flip` rows are the other label's, and whose times and size are so much more."""
    assert run.kept is not None
    logits = dict(run.kept.logits)
    logits[step] = np.concatenate([-logits[step][:flip], logits[step][flip:]])
    wrong = (logits[step].argmax(axis=1) != run.kept.targets).mean()
    steps = []
    for entry in run.report.steps:
        if entry.step == step:
            assert entry.score is not None
            score = replace(entry.score, metric="accuracy", value=float(1 - wrong))
            times = tuple(
                replace(
                    timing,
                    latency=Latency(
                        tuple(tuple(slower * one for one in process) for process in timing.latency.processes)
                    ),
                )
                for timing in entry.timings
            )
            entry = replace(entry, score=score, timings=times, model_size=round(larger * entry.model_size))
        steps.append(entry)
    return Run(name, replace(run.report, steps=tuple(steps)), replace(run.kept, logits=logits))


def test_a_change_has_a_paired_interval_and_mcnemars_p(base: Run) -> None:
    """The model answers every one of 40 rows right; 6 answers are turned: p is 2 / 2^6, by hand."""
    ours, other = altered(base, "before"), altered(base, "after", flip=6)
    mine, pair = comparing.compare([ours, other], ["onnx"])
    assert mine.change is None and mine.growth is None and mine.speeds[0].ratio is None
    assert pair.change == pytest.approx(-6 / 40) and pair.p == pytest.approx(2 / 2**6)
    assert pair.interval is not None
    low, high = pair.interval
    # A bootstrap of 40 rows of which 6 changed: binomial, so about 0.15 +- 1.96 x 0.056.
    assert low == pytest.approx(-0.275, abs=0.03) and high == pytest.approx(-0.05, abs=0.03)
    assert comparing.compare([ours, altered(base, "same")], ["onnx"])[1].p == 1.0


def test_times_have_the_widest_interval(base: Run) -> None:
    pair = comparing.compare([base, altered(base, "slow", slower=2.0)], ["onnx"])[1]
    middle = base.report.steps[2].timings[0].latency.percentile(50)
    ratio = pair.speeds[0].ratio
    assert middle is not None and ratio is not None and ratio.value == pytest.approx(2.0)
    assert (ratio.low, ratio.high) == pytest.approx((2 * middle.low / middle.high, 2 * middle.high / middle.low))


def test_limits(base: Run) -> None:
    ours, other = altered(base, "before"), altered(base, "after", flip=6, slower=1.5, larger=1.25)

    def told(*limits: float | None) -> list[str]:
        return list(comparing.broken([ours, other], comparing.compare([ours, other], ["onnx"]), Limits(*limits)))

    assert told(0.16, 0.6, 0.3) == []
    assert told(0.14) == ["after, onnx: accuracy drops by 0.1500, the limit is 0.14"]
    assert told(None, 0.4) == ["after, onnx: it is 50.0% slower on quick, the limit is 40.0%"]
    assert told(None, None, 0.2) == ["after, onnx: it is 25.0% larger, the limit is 20.0%"]
    refused = replace(
        other, report=replace(other.report, refused="'onnx_int8' is refused", steps=other.report.steps[:2])
    )
    pairs = comparing.compare([ours, refused])
    assert list(comparing.broken([ours, refused], pairs, Limits(0.5))) == [
        "after: 'onnx_int8' is refused",
        "after has no artifact 'onnx'",
        "after has no artifact 'onnx_int8'",
    ]


def test_a_limit_on_no_artifact_is_refused(base: Run) -> None:
    with pytest.raises(EdgekdError, match="has no artifact 'onnx_int9'") as caught:
        comparing.compare([base, base], ["onnx_int8", "onnx_int9"])
    assert "onnx_int8" in caught.value.hint


def test_answers_to_other_rows_are_not_paired(base: Run) -> None:
    assert base.kept is not None
    other = replace(base, name="other", kept=replace(base.kept, dev="another digest"))
    pair = comparing.compare([base, other])[1]
    assert pair.interval is None and pair.p is None and "no answers on the same dev rows" in pair.notes[0]


def test_emulated_times_are_not_compared_and_keep_no_promise(base: Run) -> None:
    other = replace(base, name="other", report=emulated(base.report))
    pairs = comparing.compare([base, other], ["onnx"])
    assert not pairs[1].speeds
    assert list(comparing.broken([base, other], pairs, Limits(max_slower=9.0))) == [
        "other, onnx: its p50 on quick cannot be compared"
    ]


def test_a_limit_that_nothing_is_held_to_is_broken(base: Run) -> None:
    """No score and no time of a real device: a gate that checked nothing is not green."""
    untold = replace(
        base.report, steps=tuple(replace(step, score=None, timings=(), model_size=0) for step in base.report.steps)
    )
    ours, other = replace(base, report=untold), replace(base, name="other", report=untold)
    emulating = replace(base, report=emulated(base.report))

    def told(one: Run, steps: list[str], *limits: float | None) -> list[str]:
        return list(comparing.broken([one, other], comparing.compare([one, other], steps), Limits(*limits), steps))

    assert told(ours, ["onnx_int8"], 0.1, 0.1, 0.1) == [
        "other: --max-drop: no score of 'onnx_int8' in both runs",
        "other: --max-larger: no size of 'onnx_int8' in both runs",
        "other: --max-slower: no device timed 'onnx_int8' in both runs",
    ]
    assert told(emulating, ["onnx"], None, 9.0) == ["other: --max-slower: no device timed 'onnx' in both runs"]
    [said] = told(ours, [], 0.1)
    assert said.startswith("other: --max-drop: no score of 'teacher' or ") and "'onnx_int8'" in said
    nothing = replace(base, report=replace(untold, steps=()))
    assert told(nothing, [], 0.1) == ["other: --max-drop: no score of anything in both runs"]


def test_each_named_artifact_is_held_to_a_limit(base: Run) -> None:
    steps = tuple(replace(step, timings=() if step.step == "onnx" else step.timings) for step in base.report.steps)
    ours = replace(base, report=replace(base.report, steps=steps))
    runs, limits = [ours, replace(base, name="other")], Limits(max_slower=9.0)
    assert list(comparing.broken(runs, comparing.compare(runs), limits)) == []
    named = ["onnx", "onnx_int8"]
    assert list(comparing.broken(runs, comparing.compare(runs, named), limits, named)) == [
        "other: --max-slower: no device timed 'onnx' in both runs"
    ]


def test_answers_are_read_as_they_were_written(ran: Ran, tmp_path: Path) -> None:
    dev = Split((("a",), ("b",)), np.array([0, 1]))
    answers.write(tmp_path, dev, ("no", "yes"), {"one": np.array([[0.5, 1], [2, 3]])})
    first = (tmp_path / answers.FILE).read_bytes()
    found = answers.read(tmp_path)
    assert found is not None and found.logits["one"].tolist() == [[0.5, 1], [2, 3]] and found.targets.tolist() == [0, 1]
    answers.write(tmp_path, dev, ("no", "yes"), {"one": np.array([[0.5, 1], [2, 3]])})
    assert (tmp_path / answers.FILE).read_bytes() == first
    (tmp_path / answers.FILE).write_bytes(first[:100])
    assert answers.read(tmp_path) is None and answers.read(tmp_path / "nowhere") is None


def test_the_command(edgekd: Callable[..., tuple[int, str, str]], ran: Ran, tmp_path: Path) -> None:
    other = tmp_path / "after"
    shutil.copytree(ran.folder, other, symlinks=True)
    raw = json.loads((other / "report.json").read_text())
    raw["steps"][3]["model_size"] *= 2
    (other / "report.json").write_text(json.dumps(raw))
    code, out, _ = edgekd("compare", ran.folder, other, "--step", "onnx_int8", "--max-drop", "0")
    assert code == 0 and "onnx_int8 (after)" in out and "+0.0000 (+0.0000 to +0.0000)" in out and "teacher" not in out
    code, out, err = edgekd("compare", ran.folder, other, "--max-larger", "0.5", "--format", "md")
    assert code == 1 and "100.0% larger, the limit is 50.0%" in err and "**Limit broken**: after, onnx_int8" in out
    code, out, _ = edgekd("compare", ran.folder, other, "--format", "html")
    assert code == 0 and "<h1>after against small</h1>" in out and "Change of the score" in out
    assert edgekd("compare", ran.folder)[0] == 2
    assert edgekd("compare", ran.folder, tmp_path / "nothing")[0] == 1


def test_the_command_is_not_green_without_a_check(
    edgekd: Callable[..., tuple[int, str, str]], ran: Ran, tmp_path: Path
) -> None:
    """Nothing timed fails a limit; a refused run is noted without one, in each form."""
    other = tmp_path / "after"
    shutil.copytree(ran.folder, other, symlinks=True)
    raw = json.loads((other / "report.json").read_text())
    for step in raw["steps"]:
        step["timings"] = []
    raw["refused"] = "'onnx_int8' is too large"
    (other / "report.json").write_text(json.dumps(raw))
    code, _, err = edgekd("compare", other, ran.folder, "--step", "onnx_int8", "--max-slower", "0.1")
    assert code == 1 and "--max-slower: no device timed 'onnx_int8' in both runs" in err
    for form in ("text", "md"):
        code, out, _ = edgekd("compare", ran.folder, other, "--format", form)
        assert code == 0 and "after was refused: 'onnx_int8' is too large" in out
    assert edgekd("compare", ran.folder, other, "--max-drop", "0.5")[0] == 1
