"""Stages whose libraries are not installed here: their work in an environment that edgekd makes for them."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import edgekd
from edgekd import apart, extras
from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError, RefusedError
from edgekd.stage import Job
from tests.conftest import write_wheel

ROOT = Path(edgekd.__file__).parents[1]
# A stage of another package that needs a library which only the environment has.
TALKING = '''
import os, shutil, subprocess, sys, time
from pathlib import Path
from pydantic import Field
from edgekd.errors import EdgekdError, RefusedError
from edgekd.stage import Stage

class Talking(Stage):
    """Talks."""
    makes = "torch"
    libraries = ("spoken",)
    model: str = Field(description="A folder to copy")
    how: str = Field("right", description="How it ends")

    def run(self, job):
        import spoken
        print("chatter without an end", end="")
        os.write(1, b"native chatter")
        subprocess.run(["echo", "a child's chatter"])
        job.progress("talking", 1, 2)
        match self.how:
            case "wrong":
                raise EdgekdError("it cannot talk", "Type: talk")
            case "refused":
                raise RefusedError("it talks nonsense", "Listen.")
            case "bug":
                raise ZeroDivisionError("by talking")
            case "killed":
                print("the last words", file=sys.stderr, flush=True)
                os.kill(os.getpid(), 9)
            case "waiting":
                (job.scratch / "pid").write_text(str(os.getpid()))
                time.sleep(600)
        for file in Path(self.model).iterdir():
            shutil.copy(file, job.out)
        return {"word": spoken.WORD, "prefix": sys.prefix, "rows": len(job.data.train), "seed": job.seed}
'''
ENTRY_POINT = "[edgekd.stages]\ntalking = talking:Talking\n"
METADATA = """\
Metadata-Version: 2.4
Name: edgekd
Version: 1.0
Provides-Extra: talk
Provides-Extra: new
Requires-Dist: click>=8
Requires-Dist: spoken==1.0; extra == "talk"
Requires-Dist: pydantic>=99; extra == "new"
"""
RECIPE = """\
name: talk
data: {{source: {corpus}, text: [sentence], labels: ["no", "yes"], metric: accuracy, max_length: 32}}
steps: [{{id: talk, stage: talking, model: {encoder}}}]
devices: [quick]
"""
DEVICE = "name: quick\nrun: {min_runs: 5, repeats: 1, warmup_s: 0, max_s: 1}\n"


@pytest.fixture
def talking(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the stage; edgekd says here that the library it needs is in an extra."""
    here = sysconfig.get_path("purelib")  # pip finds no pydantic in a folder: the environment looks for it where we do
    library = {"spoken.py": "WORD = 'hello'\n", "beside.pth": f"{here}\n", "dist-info/entry_points.txt": ENTRY_POINT}
    write_wheel(wheels, "spoken", {**library, "talking.py": TALKING})
    write_wheel(wheels, "click", {})
    told = tmp_path / "told"
    (told / "edgekd-1.0.dist-info").mkdir(parents=True)
    (told / "edgekd-1.0.dist-info" / "METADATA").write_text(METADATA)
    (told / "edgekd-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINT)
    (told / "talking.py").write_text(TALKING)
    monkeypatch.syspath_prepend(str(told))
    monkeypatch.setenv("PYTHONPATH", f"{told}{os.pathsep}{ROOT}")
    monkeypatch.delitem(sys.modules, "talking", raising=False)
    extras._listed.cache_clear()
    import talking

    yield talking
    extras._listed.cache_clear()
