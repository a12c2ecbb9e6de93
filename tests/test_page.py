"""What report.html says and draws; how it looks in a browser is test_browser's."""

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from edgekd import report_files, report_rows
from edgekd.errors import EdgekdError
from edgekd.page import chain, curves, frontier, labels, verdict
from edgekd.page.render import page
from edgekd.report import Gate, Report, Timing
from tests.conftest import Ran


@pytest.fixture
def report(ran: Ran) -> Report:
    return report_rows.from_json(ran.json)


def emulated(report: Report) -> Report:
    def told(timing: Timing) -> Timing:
        return replace(timing, latency=replace(timing.latency, emulated=True))

    return replace(report, steps=tuple(replace(step, timings=tuple(map(told, step.timings))) for step in report.steps))


def text(markup: str) -> str:
    """What a reader sees: no markup, no style, no script."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", markup, flags=re.DOTALL)))


class Tags(HTMLParser):
    """Fails where a tag is not closed, or an attribute would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href", "srcset", "xlink:href"} & {name for name, _ in attrs}, (tag, attrs)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_run_leaves_its_page_and_a_report_read_back_draws_the_same(ran: Ran, report: Report) -> None:
    written = (ran.folder / "report.html").read_text()
    tags = Tags()
    tags.feed(written)
    assert not tags.open
    assert "url(http" not in written and "@import" not in written
    assert report_files.html(report, ran.folder) == written
    assert report_rows.from_json(json.loads(json.dumps(report_files.to_json(ran.report)))) == ran.report
    for section in ("The chain", "Artifacts", "What accuracy costs", "Latency", "Limits", "Doubts", "Answers on dev"):
        assert f"<h2>{section}</h2>" in written
    assert "sentence" in written and "learning_rate: 0.002" in written  # the recipe as it ran


def test_the_verdict_says_in_words_what_was_refused_and_why(report: Report) -> None:
    assert "Passed" in text(page(report))
    bad = replace(report.steps[-1], gates=(Gate("drop of matthews_correlation", 0.3, 0.05, False),))
    refused = replace(report, steps=(*report.steps[:-1], bad), refused="'onnx_int8' is refused: drop is 0.3")
    shown = text(page(refused))
    assert "Refused 'onnx_int8' is refused: drop is 0.3. What comes after it" in shown and "Passed" not in shown
    found = verdict.figures(refused, report_rows.rows(refused))
    assert "onnx_int8" not in {figure.artifact for figure in found}  # nothing refused is the best at anything


def test_the_best_score_names_those_that_share_it(report: Report) -> None:
    *before, onnx, last = report.steps
    assert onnx.score is not None and last.score is not None
    for value, told in ((last.score.value, "; the same: onnx"), (0.123, "")):
        steps = [replace(step, score=replace(last.score, value=0.5)) for step in before]
        other = replace(report, steps=(*steps, replace(onnx, score=replace(onnx.score, value=value)), last))
        best = verdict.figures(other, report_rows.rows(other))[0]
        assert best.artifact == "onnx_int8" and best.note.endswith(f" against teacher{told}")


def test_an_emulated_device_yields_no_latency_anywhere(report: Report) -> None:
    told = emulated(report)
    assert all(row.p50 is None and row.p90 is None and row.emulated for row in report_rows.rows(told))
    shown = page(told)
    assert "quick is emulated hardware" in text(shown)
    assert "<h2>Latency</h2>" not in shown and "latency on quick" not in shown
    assert [figure.title for figure in verdict.figures(told, report_rows.rows(told))] == [
        "Best score, served",
        "Smallest",
    ]
    header, rows = report_files.table(told.steps)
    assert {row[header.index("p50 ms")] for row in rows} == {"emulated"}
    assert {line["p50"] for line in csv.DictReader(io.StringIO(report_rows.to_csv(told)))} == {""}


def test_a_hostile_text_is_shown_and_not_obeyed(report: Report) -> None:
    step = report.steps[0]
    evil = "</script><script>alert(1)</script>"
    example = replace(step.examination.worst[0], texts=(evil,))
    steps = (replace(step, step="<b>x", examination=replace(step.examination, worst=(example,))), *report.steps[1:])
    shown = page(replace(report, steps=steps))
    assert evil not in shown and "&lt;/script&gt;" in shown and "<b>x" not in shown


def test_both_reports_say_what_became_of_the_tokens(report: Report) -> None:
    assert "Vocabulary" not in page(report) + report_files.markdown(report)
    trimmed = {
        "tokens": 27_621,
        "tokens_before": 30_522,
        "coverage": {
            "dev": {"texts": 1009, "same": 0.982, "tokens": 1.001, "unknown": 0.008, "unknown_before": 0.0079}
        },
    }
    coded = {"parameters": 12_440_592, "parameters_before": 20_593_808, "variance_kept": 0.7932}
    first, second, *others = report.steps
    steps = (replace(first, facts=first.facts | trimmed), replace(second, facts=second.facts | coded), *others)
    told = (
        "27,621 of 30,522 tokens; of 1,009 dev texts 98.2% are cut as before, 1.001 times as many tokens, "
        "unknown 0.80% (before: 0.79%)",
        "codes keep 79.3% of the variance of the tokens' vectors; 12,440,592 parameters with them, 20,593,808 before",
    )
    for words in (text(page(replace(report, steps=steps))), report_files.markdown(replace(report, steps=steps))):
        assert "Vocabulary" in words and all(sentence in words for sentence in told)


def test_a_step_stands_under_its_source(report: Report) -> None:
    drawn = ElementTree.fromstring(chain.wide(report.steps))
    corners = {group[1].text: (float(group[0].get("x", "")), float(group[0].get("y", ""))) for group in drawn.iter("g")}
    assert list(corners) == ["teacher", "student", "onnx", "onnx_int8"]
    across = [corner[0] for corner in corners.values()]
    assert across == sorted(set(across)) and len({corner[1] for corner in corners.values()}) == 1


def point(name: str, cost: float, score: float) -> frontier.Point:
    return frontier.Point(name, "onnx", cost, None, score, None, 10)


def test_the_front_holds_what_nothing_beats() -> None:
    found = [point("dear", 9, 0.9), point("beaten", 4, 0.7), point("cheap", 1, 0.6), point("good", 3, 0.8)]
    assert [entry.name for entry in frontier.unbeaten(found)] == ["cheap", "good", "dear"]
    assert frontier.svg(found[:1], "MB", "accuracy", ["onnx"]) == ""


def test_names_of_dots_on_one_spot_do_not_cover_each_other() -> None:
    dots = [labels.Dot(f"artifact_{number}", 200, 150, 8) for number in range(8)]
    drawn = [ElementTree.fromstring(part) for part in labels.names(dots, 0, 450)]
    words = [entry for entry in drawn if entry.tag == "text"]
    places = [(float(entry.get("x", "")), float(entry.get("y", ""))) for entry in words]
    assert len(words) == 8
    for number, (x, y) in enumerate(places):
        for left, top in places[:number]:
            assert abs(y - top) >= 13 or abs(x - left) >= 6.4 * len("artifact_0")


def test_a_training_of_an_earlier_edgekd_has_a_curve_of_its_epochs() -> None:
    old = [{"phase": "p", "epoch": 1, "loss": 2.0, "hard": 2.0}, {"phase": "p", "epoch": 2, "loss": 1.0, "hard": 1.0}]
    [(name, drawn, ends)] = list(curves.phases(old))
    assert (name, ends) == ("p", [("loss", 2.0, 1.0)])
    assert len(ElementTree.fromstring(drawn).findall("circle")) == 2


def test_training_leaves_its_losses_in_the_report(report: Report) -> None:
    by_id = {step.step: step for step in report.steps}
    assert [record["epoch"] for record in by_id["teacher"].training] == list(range(1, 17))
    assert {record["phase"] for record in by_id["student"].training} == {"intermediate", "prediction"}
    assert not by_id["onnx"].training


def test_where_the_time_goes(report: Report) -> None:
    assert "Where the time goes" not in text(page(report))
    onnx = next(step for step in report.steps if step.step == "onnx")
    spent = {"MatMul": 0.002, "Gather": 0.0005}
    timed = replace(onnx, timings=(replace(onnx.timings[0], operators=spent),))
    drawn = page(replace(report, steps=(timed,)))
    assert "Where the time goes" in text(drawn) and "onnx on quick, 1 thread" in text(drawn)
    plot = next(found for found in re.findall(r"<svg.*?</svg>", drawn, re.DOTALL) if "time by operator" in found)
    widths = [float(bar.get("width")) for bar in ElementTree.fromstring(plot).findall("rect")]  # type: ignore[arg-type]
    assert widths == [200.0, 50.0] and "MatMul: 2" in plot


def test_rows_of_csv(ran: Ran, report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(report_rows.to_csv(report))))
    assert [line["step"] for line in lines] == ["teacher", "student", "onnx", "onnx_int8"]
    middle = ran.report.steps[0].timings[0].latency.percentile(50)
    assert middle is not None and float(lines[0]["p50"]) == middle.value
    assert lines[0]["p99"] == "" and lines[1]["change"] != "" and lines[0]["change"] == ""


@pytest.mark.parametrize("raw", [{}, {"steps": 3}, {"steps": [{"gates": []}]}])
def test_what_is_no_report(raw: dict[str, Any]) -> None:
    with pytest.raises(EdgekdError, match="not the report of a run"):
        report_rows.from_json(raw)
