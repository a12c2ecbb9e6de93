"""Runs a recipe on CoLA, SST-2 and STS-B from a folder in GLUE's TSV form, and prints one table of all steps.

python benchmarks/glue.py --data FOLDER/glue --model FOLDER/models/all-MiniLM-L6-v2 [--tasks CoLA] [--recipe FILE]

The recipe has the steps teacher, student and onnx_int8, as the main one has.

What each task is trained with stands in SETTINGS: the teacher's were chosen by its dev score (benchmarks/LOG.md), the
student's are TinyBERT's two phases in fewer epochs.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "cola_int8.yaml"
COLA = "preset: cola, columns: [origin, label, mark, sentence], quoting: none, max_length: 64"
SETTINGS = {
    "CoLA": {
        "data": COLA,
        "teacher": {"learning_rate": 1e-4, "epochs": 5, "batch_size": 32},
        "phases": "{intermediate: {epochs: 10}, prediction: {epochs: 4}}",
        "fallback": ["onnx_int8"],  # 8 bits everywhere lose 0.01 to 0.04 of MCC and are refused
    },
    "STS-B": {
        "data": "preset: stsb, label: score, quoting: none",
        "teacher": {"learning_rate": 1e-4, "epochs": 4, "batch_size": 32},
        "phases": "{intermediate: {epochs: 6}, prediction: {epochs: 4, terms: {hard: 1, soft: 1}}}",
        # Fixed ranges in 8 bits everywhere: TFLite loses 0.13, OpenVINO moves a quarter of the scores: both refused.
        "fallback": ["openvino_int8", "tflite_int8"],
    },
    "SST-2": {
        "data": "preset: sst2, quoting: none, max_length: 64, limit: 20000",
        "teacher": {"learning_rate": 5e-5, "epochs": 1, "batch_size": 32},
        "phases": "{intermediate: {epochs: 1}, prediction: {epochs: 1}}",
    },
}


def run(recipe: Path, task: str, data: Path, model: Path, runs: Path, seed: int) -> dict[str, object]:
    """Run one task's chain; the report."""
    chosen = SETTINGS[task]
    name = f"{task.lower().replace('-', '')}_{seed}" + ("" if recipe == RECIPE else f"_{recipe.stem}")
    settings = {
        "name": name,
        "seed": seed,
        "data": f"{{source: {data.resolve() / task}, {chosen['data']}}}",
        "teacher.model": model.resolve(),
        **{f"teacher.{field}": value for field, value in chosen["teacher"].items()},  # type: ignore[attr-defined]
        "student.phases": chosen["phases"],
        **{f"{step}.fallback": "true" for step in chosen.get("fallback", ()) if f"id: {step}," in recipe.read_text()},
        "student.min_kept": "null",  # reported, whatever it is
    }
    argv = [sys.executable, "-m", "edgekd", "run", str(recipe), "--offline"]
    argv += ["--runs", str(runs)]
    for field, value in settings.items():
        argv += ["--set", f"{field}={value}"]
    subprocess.run(argv, check=False)  # a refused artifact is a result too
    found: dict[str, object] = json.loads((runs / name / "report.json").read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with CoLA, SST-2 and STS-B")
    parser.add_argument("--model", type=Path, required=True, help="pretrained encoder")
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="such as recipes/every_target.yaml")
    given = parser.parse_args()
    lines = ["| task | step | metric | score | MB | p50 ms (95 %) | seconds |", "|---|---|---|---|---|---|---|"]
    for task in given.tasks:
        report = run(given.recipe, task, given.data, given.model, given.runs, given.seed)
        for step in report["steps"]:  # type: ignore[attr-defined]
            p50 = step["timings"][0]["latency"]["p50"]
            shown = f"{p50['value'] * 1e3:.2f} ({p50['low'] * 1e3:.2f} to {p50['high'] * 1e3:.2f})"
            score = step["score"]
            lines.append(
                f"| {task} | {step['step']} | {score['metric']} | {score['value']:.4f} "
                f"| {step['model_size'] / 1e6:.1f} | {shown} | {step['seconds']:.0f} |"
            )
        if report["refused"]:
            lines.append(f"| {task} | refused: {report['refused']} | | | | | |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
