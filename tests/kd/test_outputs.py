"""A teacher's kept outputs are what it gives when it runs."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import load_classifier
from edgekd.kd.outputs import Outputs
from edgekd.kd.tap import Tap
from edgekd.kd.trace import Needs, Trace
from edgekd.tokens import Encoded

NEEDS = Needs(hidden=frozenset({0, 2, 4}), scores=frozenset({3}), projections=frozenset({4}))
CPU = torch.device("cpu")


def tokens(count: int = 300) -> Encoded:
    """Enough rows for several batches of a fill."""
    draw = np.random.default_rng(0)
    ids = [np.concatenate([[2], draw.integers(5, 20, draw.integers(1, 30)), [3]]) for _ in range(count)]
    return Encoded(ids, [np.zeros_like(row) for row in ids])


def test_kept_outputs_are_the_teachers(encoder: Path, tmp_path: Path) -> None:
    rows = tokens()
    tap = Tap(load_classifier(encoder).eval())
    kept = Outputs.of(tap.model, NEEDS, rows.lengths, tmp_path / "outputs")
    told: list[int] = []
    kept.fill(tap, rows, 0, CPU, told.append)
    assert kept.ready and told[-1] == 300 and len(told) > 1
    chosen = [7, 299, 0, 12]
    batch = {name: torch.from_numpy(array) for name, array in rows.pad(chosen).items()}
    mask = batch["attention_mask"]
    with torch.no_grad():
        live = tap.trace(batch, NEEDS)
    found = Trace.kept(kept.batch(np.array(chosen), NEEDS), mask, tap.model)
    torch.testing.assert_close(found.logits, live.logits)
    for name in ("hidden", "scores", "queries", "keys", "values"):
        ours, theirs = getattr(found, name), getattr(live, name)
        assert set(ours) == set(theirs) == getattr(NEEDS, name, NEEDS.projections)
        valid = mask[:, None, :, None] * mask[:, None, None, :] if name == "scores" else mask[:, :, None]
        for layer, states in ours.items():
            torch.testing.assert_close(states, theirs[layer] * valid, rtol=1e-3, atol=1e-3)


def test_a_reader_gets_the_layers_it_asks_for(encoder: Path, tmp_path: Path) -> None:
    rows = tokens(8)
    tap = Tap(load_classifier(encoder).eval())
    kept = Outputs.of(tap.model, NEEDS, rows.lengths, tmp_path / "outputs")
    kept.fill(tap, rows, 0, CPU, lambda done: None)
    whole, part = (kept.batch([1, 5], needs) for needs in (NEEDS, Needs(hidden=frozenset({4}))))
    assert set(part) == {"logits", "hidden"} and set(part["hidden"]) == {4}
    assert torch.equal(part["hidden"][4], whole["hidden"][4])


def test_the_size_is_known_before(encoder: Path, tmp_path: Path) -> None:
    rows = tokens(40)
    tap = Tap(load_classifier(encoder).eval())
    kept = Outputs.of(tap.model, NEEDS, rows.lengths, tmp_path / "outputs")
    assert not kept.ready and not kept.folder.exists()
    kept.fill(tap, rows, 0, CPU, lambda done: None)
    assert kept.size == sum(file.stat().st_size for file in kept.folder.iterdir())


def test_a_stopped_fill_is_not_taken_for_a_whole_one(encoder: Path, tmp_path: Path) -> None:
    rows = tokens()
    tap = Tap(load_classifier(encoder).eval())
    kept = Outputs.of(tap.model, NEEDS, rows.lengths, tmp_path / "outputs")

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.fill(tap, rows, 0, CPU, stop)
    assert not Outputs.of(tap.model, NEEDS, rows.lengths, tmp_path / "outputs").ready


def test_what_16_bits_cannot_hold(encoder: Path, tmp_path: Path) -> None:
    model = load_classifier(encoder).eval()
    model.bert.encoder.layer[3].attention.self.value.bias.data.fill_(1e6)
    kept = Outputs.of(model, NEEDS, tokens(4).lengths, tmp_path / "outputs")
    with pytest.raises(EdgekdError, match="values are larger than 16 bits hold"):
        kept.fill(Tap(model), tokens(4), 0, CPU, lambda done: None)


def test_a_full_disk(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    tap = Tap(load_classifier(encoder).eval())
    kept = Outputs.of(tap.model, NEEDS, tokens(4).lengths, tmp_path / "outputs")
    with pytest.raises(EdgekdError, match="cannot be kept: No space left"):
        kept.fill(tap, tokens(4), 0, CPU, lambda done: None)
    assert not kept.folder.exists()
