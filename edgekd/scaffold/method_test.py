"""The method example teaches a student, by the phases that its source has."""

from pathlib import Path

from edgekd import run
from edgekd.kd.method import METHODS
from edgekd.testing import write_recipe

STUDENT = """
    id: student
    stage: distill
    method: example
    model: {layers: 1, from: teacher}
    phases: {soft: {epochs: 8, learning_rate: 2.0e-3, batch_size: 16}}
"""


def test_a_student_learns_by_it_in_a_recipe(tmp_path: Path) -> None:
    report = run(write_recipe(tmp_path, STUDENT), tmp_path / "runs")
    student = report.steps[-1]
    assert student.score is not None and student.passed
    assert student.training[-1]["soft"] < student.training[0]["soft"]


def test_its_phases_are_those_of_its_source() -> None:
    (phase,) = METHODS.get("example").phases(regression=False)
    assert phase.terms.model_dump(exclude_defaults=True) == {"soft": 1.0} and phase.temperature == 2.0
