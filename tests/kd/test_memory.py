"""A training that finds no memory goes on with fewer rows at once: to the same weights, and the report says so."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.utils.memory import should_reduce_batch_size

from edgekd.errors import EdgekdError
from edgekd.kd import memory
from edgekd.kd.phase import Phase, Terms
from edgekd.testing import build_encoder

# Trains in a process that may have `argv[2]` MB more than it has when the training begins.
CHILD = """\
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from edgekd.kd.encoder import load_classifier
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.rows import Rows
from edgekd.kd.training import Training
from edgekd.tokens import Encoded

torch.set_num_threads(1)
# oneDNN makes code as it goes, and makes none any more once it found no place for some.
torch.backends.mkldnn.set_flags(False)
phase = Phase(name="task", terms=Terms(hard=1), epochs=2, batch_size=512, learning_rate=1e-3)
draw = np.random.default_rng(0)
ids = [draw.integers(5, 20, 30).astype(np.int64) for _ in range(1024)]
rows = Rows(Encoded(ids, [np.zeros_like(row) for row in ids]), draw.integers(0, 2, len(ids)))

def train(scratch):
    torch.manual_seed(3)
    learner = Learner(load_classifier(Path(sys.argv[1])), {}, [phase])
    for module in learner.modules():  # which of a step's rows it drops depends on how they are cut
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    training = Training(learner, [phase], [rows], 5, Path(scratch), lambda *_: None, "fp32")
    return [record["loss"] for record in training.run()], training.doubts

now = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (now + int(sys.argv[2]) * 1_000_000, resource.RLIM_INFINITY))
short, doubts = train(sys.argv[3] + "/short")
resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
whole, none = train(sys.argv[3] + "/whole")
print(json.dumps([whole, none, short, doubts]))
"""


def trained(folder: Path, more: int) -> Any:
    encoder = build_encoder(folder / "encoder", layers=4, width=128)
    argv = [sys.executable, "-c", CHILD, str(encoder), str(more), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_step_that_finds_no_memory_is_cut_and_gives_the_same(tmp_path: Path) -> None:
    whole, none, short, doubts = trained(tmp_path, more=400)
    assert not none and short == pytest.approx(whole, rel=1e-4)
    first = "phase 'task' ran out of memory: from step 1 on, the 512 rows of a step went through the model in "
    assert doubts[0].startswith(first)
    parts = [int(doubt.split()[-2]) for doubt in doubts]
    assert parts == sorted(set(parts)) and set(parts) <= {2, 4, 8, 16, 32, 64}


def test_what_no_smaller_part_helps_is_said(tmp_path: Path) -> None:
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
    assert should_reduce_batch_size(error)
    with pytest.raises(EdgekdError, match=r"with 1 row in the model at once .DefaultCPU"):
        memory.parts_after(error, Phase(name="task", batch_size=4), 4, 1)
    alike = Phase(name="task", terms=Terms(soft=1), soft_loss="dist")
    with pytest.raises(EdgekdError, match=r"32 rows in the model at once .*, and dist compares all rows of a batch"):
        memory.parts_after(error, alike, 1, 1)
    with pytest.raises(EdgekdError) as caught:
        memory.parts_after(MemoryError(), Phase(name="task"), 2, 2)
    assert "accumulate: 4" in caught.value.hint
    with pytest.raises(ZeroDivisionError):
        memory.parts_after(ZeroDivisionError(), Phase(name="task"), 1, 1)
