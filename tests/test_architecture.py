"""The floors of the house, read from the imports: nothing runs back up, nothing goes in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgekd

ROOT = Path(edgekd.__file__).parent
# From the ground up; files on one floor do not import each other.
FLOORS = [
    ["edgekd", "plain", "machine", "examination", "watcher"],
    ["errors", "resident", "cache", "temporary"],
    ["decoding", "paths", "signing"],
    ["tuned"],
    [
        "options",
        "artifact",
        "registry",
        "report",
        "study_results",
        "sweep_results",
        "yaml_marks",
        "glue",
        "embedded.acceptability_words",
        "embedded",
        "processes",
        "records",
        "replies",
        "state",
        "closure",
        "vocabulary",
        "quiet",
        "corpus",
        "words",
        "tagging",
        "viterbi",
        "ascii_text",
        "columns",
        "delimited",
        "json_lines",
        "pretrained",
        "receipts",
        "testing",
        "onnx_graph",
        "openvino_graph",
        "tflite_graph",
    ],
    [
        "start",
        "task",
        "store",
        "runtime",
        "connection",
        "hub",
        "embedded.acceptability",
        "embedded.entities",
        "isolated",
        "svg",
        "dictionary",
        "dictionary_options",
        "tracking",
    ],
    ["tokens"],
    ["provider", "shell", "agent"],
    [
        "tasks.*",
        "connections.*",
        "providers.*",
        "device",
        "data_options",
        "augmentation_options",
        "validation",
        "settings",
        "bundle_requirements",
        "extras",
        "report_rows",
        "report_vocabulary",
        "reading",
    ],
    [
        "page.chain",
        "page.curves",
        "page.intervals",
        "page.labels",
        "page.templates",
        "page.latencies",
        "page.reliability",
        "page.bars",
    ],
    ["page.cells", "page.frontier", "page.verdict"],
    ["page.render"],
    ["tables", "report_files", "study_picture", "sweep_picture"],
    ["data", "study_files", "sweep_files", "survey", "device_files"],
    ["new_recipe", "own_rows"],
    ["stage"],
    ["kd.coded"],
    ["kd.loading"],
    ["kd.losses.*", "kd.mappings", "kd.adaptive_mappings", "kd.tagger"],
    ["kd.phase", "kd.parts", "kd.heap", "kd.narrowing", "kd.words", "kd.disturbance", "kd"],
    ["kd.encoder", "kd.gates"],
    ["kd.trace", "kd.layers", "kd.lean", "kd.student"],
    ["kd.tap", "kd.beside", "kd.positions", "kd.blocks"],
    ["kd.outputs", "kd.imitation", "kd.choosing", "kd.crossing", "kd.checkpoints"],
    [
        "kd.rows",
        "kd.method",
        "kd.objective",
        "kd.checks",
        "kd.idle",
        "kd.graph",
        "kd.neighbours",
        "kd.masked_lm",
        "runtimes.*",
        "engine",
    ],
    ["kd.memory"],
    ["kd.methods.*", "kd.training", "kd.augmentation"],
    ["kd.fitting"],
    ["calibration"],
    ["fallback", "nncf_control"],
    ["quantizing"],
    ["stages.*", "worker", "apart", "board"],
    ["steps"],
    ["measure", "examining", "worth", "answers", "recipe", "benchmark_model"],
    ["study_axes", "tuning"],
    ["study", "sweep"],
    [
        "assess",
        "bench",
        "comparing",
        "doctor",
        "installation",
        "schema",
        "plan",
        "predicting",
        "asking",
        "selftest",
        "explaining",
        "bundle_card",
    ],
    ["bundle_predict", "compare_files", "history", "new_device", "new_plugin"],
    ["bundle"],
    ["objects"],
    ["lease"],
    ["shared_store"],
    ["launching"],
    ["pipeline", "terminal", "study_plan", "sweep_plan", "bench_files", "pushing"],
    ["executor", "sweep_worker", "ray_training"],
    ["executors.*"],
    ["studying", "sweeping", "searching", "api"],
    ["scaffold.*"],
    ["cli_options", "cli_echo"],
    ["cli_artifacts", "cli_devices", "cli_help", "cli_new", "cli_runs", "cli_sweep"],
    ["cli"],
    ["__main__"],
]
HEAVY = {"torch", "transformers", "onnxruntime", "datasets", "sklearn", "scipy", "accelerate", "onnx", "numpy"}


def modules() -> dict[str, Path]:
    found = {}
    for file in ROOT.rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__").replace("__init__", "edgekd")] = file
    return found


def floor(name: str) -> int:
    for number, names in enumerate(FLOORS):
        if name in names or (f"{name.partition('.')[0]}.*" in names and name.count(".") == 1):
            return number
        if name.rpartition(".")[0] + ".*" in names:
            return number
        if f"{name}.*" in names:  # the folder's own docstring file
            return 0
    raise AssertionError(f"{name} stands on no floor: give it one in this test and in docs/architecture.md")


def imports(file: Path) -> set[str]:
    """Every module of edgekd that a file imports, also inside functions; not for type checkers alone."""
    tree = ast.parse(file.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "edgekd":
            base = (node.module or "").removeprefix("edgekd").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in modules() else base or "edgekd")
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("edgekd.") for alias in node.names if alias.name.startswith("edgekd.")}
    return found


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_file_imports_only_from_lower_floors(name: str) -> None:
    for imported in imports(modules()[name]):
        assert floor(imported) < floor(name), f"{name} imports {imported}, which is not below it"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plan", "{recipe}"],
        ["explain"],
        ["explain", "distill"],
        ["report", "{run}"],
        ["report", "{run}", "--format", "html"],
        ["report", "{run}", "--format", "csv"],
        ["runs", "list", "--runs", "{runs}"],
        ["doctor"],
        ["schema"],
    ],
)
def test_quick_commands_load_nothing_heavy(arguments: list[str], ran) -> None:  # type: ignore[no-untyped-def]
    given = [text.format(recipe=ran.recipe, run=ran.folder, runs=ran.runs) for text in arguments]
    code = (
        "import sys; sys.argv = ['edgekd', *sys.argv[1:]]\n"
        "from edgekd.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    more = ["--runs", str(ran.runs)] if arguments[0] == "plan" else []
    done = subprocess.run([sys.executable, "-c", code, *given, *more], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("heavy: []"), done.stdout[-500:]


def test_predict_on_onnx_loads_no_torch(ran) -> None:  # type: ignore[no-untyped-def]
    code = (
        "import sys; from pathlib import Path; from edgekd.predicting import predict\n"
        "print(next(predict(Path(sys.argv[1]), [('the cat sees a dog .',)])))\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'sklearn'} & set(sys.modules)))"
    )
    argv = [sys.executable, "-c", code, str(ran.folder / "onnx_int8")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
