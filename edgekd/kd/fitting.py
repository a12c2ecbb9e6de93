"""From a stage's job to a trained folder: what every training stage does around the loop."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import temporary
from edgekd.artifact import TOKENIZER, TRAINING
from edgekd.data import Data
from edgekd.dictionary import Dictionary, Matcher
from edgekd.dictionary_options import Disturbed
from edgekd.errors import EdgekdError
from edgekd.kd import encoder
from edgekd.kd.coded import stored
from edgekd.kd.disturbance import Disturbance
from edgekd.kd.loading import tokenizer_of
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase
from edgekd.kd.rows import Rows
from edgekd.kd.training import Precision, Training
from edgekd.tagging import OUTSIDE
from edgekd.tokens import Encoded, encode, load_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.stage import Job
    from edgekd.tokens import Cut


_MOST_INSIDE = 0.01  # of the words
_MOST_CUT = 0.01  # of the texts


@dataclass(frozen=True)
class Reads:
    """A dictionary as taggers read it while they are trained."""

    entries: Dictionary
    kinds: tuple[str, ...]
    longest: bool
    disturbance: Disturbance


def disturbance(options: Disturbed, data: Data) -> Disturbance:
    chances = {name: getattr(options, name) for name in Disturbed.model_fields}
    return Disturbance(**chances, outside=data.labels.index(OUTSIDE))


def head(data: Data) -> dict[str, Any]:
    """The configuration of a head that fits the task."""
    task = data.task
    config: dict[str, Any] = {"num_labels": task.outputs(data.labels), "problem_type": task.problem_type}
    config["for_tokens"] = task.per_token
    if data.labels:
        config["id2label"] = dict(enumerate(data.labels))
        config["label2id"] = {name: number for number, name in enumerate(data.labels)}
    return config


def save_tokenizer(folder: Path, out: Path) -> None:
    """tokenizer.json of a pretrained folder, as any runtime can read it: no padding and no cutting set."""
    backend = tokenizer_of(folder).backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(out / TOKENIZER))


def same_vocabulary(ours: Path, theirs: Path, phases: Sequence[Phase]) -> bool:
    """Whether two tokenizer.json hold the same tokens. Where they do not, only logits can be compared.

    Raises EdgekdError where a phase compares the student with its teacher token by token all the same.
    """
    one, other = (json.loads(file.read_text())["model"]["vocab"] for file in (ours, theirs))
    for phase in phases if one != other else ():
        if phase.terms.insides:
            raise EdgekdError(
                f"student and teacher have different vocabularies ({len(one)} and {len(other)} tokens), and phase "
                f"'{phase.name}' compares them token by token",
                "Start the student from a model with the teacher's tokenizer, or use method: logits.",
            )
    return bool(one == other)


def same_as_pretrained(ours: Path, folder: Path, phases: Sequence[Phase]) -> bool:
    """As `same_vocabulary`, of a tokenizer.json and a pretrained folder."""
    with temporary.folder() as aside:
        save_tokenizer(folder, Path(aside))
        return same_vocabulary(ours, Path(aside) / TOKENIZER, phases)


def rows(
    texts: Sequence[Sequence[str]],
    targets: "NDArray[Any] | None",
    tokenizer: Path,
    max_length: int,
    student: Any,
    theirs: "tuple[Path, Any] | None" = None,
    teachers: Iterable[Any] = (),
    cut: "Cut | None" = None,
    reads: "Reads | None" = None,
) -> Rows:
    """Texts as the student's tokenizer.json cuts them, at `max_length` tokens. `teachers` read the same tokens.

    `cut` gives a text's words, where these are what is labelled; `reads` is the dictionary that is matched with them,
    if the models read one. `theirs` are the tokenizer and the model of a teacher that cuts texts otherwise. Raises
    EdgekdError where a row is longer than a model takes.
    """
    matcher = None if reads is None else Matcher(reads.entries, reads.kinds, reads.longest)
    tokens = _encoded(texts, tokenizer, (student, *teachers), max_length, cut, matcher)
    taught = None
    if theirs is not None:
        taught = _encoded(texts, theirs[0], (theirs[1],), max_length, cut, matcher), _padding(theirs[1])
    if tokens.places is not None:
        tokens, taught, targets = _worded(tokens, taught, targets)
    return Rows(tokens, targets, _padding(student), taught, disturbance=None if reads is None else reads.disturbance)


def fit(
    learner: Learner,
    phases: Sequence[Phase],
    rows: Sequence[Rows],
    job: "Job",
    precision: Precision,
    checkpoint_s: float,
    cache_gb: float = 0.0,
) -> Mapping[str, Any]:
    """Train and fill job.out with config.json, model.safetensors and training.json (losses of each epoch).

    The learner's teachers cannot be used afterwards.
    """
    training = Training(
        learner,
        phases,
        rows,
        job.seed,
        job.scratch,
        job.progress,
        precision,
        checkpoint_s,
        cache_bytes=cache_gb * 1e9,
        track=job.track,
        frugal=True,
    )
    history = training.run()
    student: Any = learner.student
    encoder.save(student, job.out)
    (job.out / TRAINING).write_text(json.dumps(history, indent=1) + "\n")
    facts: dict[str, Any] = {"parameters": stored(student)}
    doubts = [*training.doubts, *_inside(rows), *_cut(rows)]
    return {**facts, "doubts": doubts} if doubts else facts


def _cut(rows: Sequence[Rows]) -> list[str]:
    """Whether many texts with labels are longer than was read of them: what decides may stand behind."""
    cut = [each for labelled in rows if labelled.targets is not None for each in labelled.tokens.cut or ()]
    if sum(cut) <= _MOST_CUT * len(cut):
        return []
    return [f"{sum(cut):,} of {len(cut):,} texts to learn from are longer than max_length, and were cut there"]


def _inside(rows: Sequence[Rows]) -> list[str]:
    """Whether many words begin inside a token, as a tokenizer that joins ideographs has them: none can be labelled."""
    placed = [places for each in rows for places in each.tokens.places or ()]
    words = sum(len(places) for places in placed)
    # After the last word with a token come those that were cut off, which is no fault of the tokenizer.
    lost = sum(int((places[: int((places >= 0).nonzero()[0].max(initial=-1)) + 1] < 0).sum()) for places in placed)
    if lost <= _MOST_INSIDE * words:
        return []
    return [f"{lost / words:.1%} of the words begin inside a token, and are answered O: another tokenizer suits better"]


def _worded(
    ours: Encoded, theirs: "tuple[Encoded, int] | None", targets: "NDArray[Any] | None"
) -> "tuple[Encoded, tuple[Encoded, int] | None, NDArray[Any] | None]":
    """The rows that have a word to learn from: of a text of invisible characters no token is any word's."""
    import numpy as np

    assert ours.places is not None
    others = ours.places if theirs is None or theirs[0].places is None else theirs[0].places
    pairs = zip(ours.places, others, strict=True)
    kept = [row for row, (one, other) in enumerate(pairs) if ((one >= 0) & (other >= 0)).any()]
    if not kept:
        raise EdgekdError("no text has a word that the tokenizer knows", "Name the texts that are to be tagged.")
    if len(kept) == len(ours.places):
        return ours, theirs, targets
    if targets is not None:
        parts = np.split(targets, np.cumsum([len(row) for row in ours.places])[:-1])
        targets = np.concatenate([parts[row] for row in kept])
    return ours.take(kept), None if theirs is None else (theirs[0].take(kept), theirs[1]), targets


def _encoded(
    texts: Sequence[Sequence[str]],
    tokenizer: Path,
    models: Sequence[Any],
    max_length: int,
    cut: "Cut | None",
    matcher: Matcher | None,
) -> Encoded:
    tokens = encode(load_tokenizer(tokenizer, max_length), texts, cut, matcher)
    longest, limit = int(tokens.lengths.max()), min(map(encoder.longest, models))
    most = max(int(row.max()) for row in tokens.ids)
    rows = min(model.get_input_embeddings().num_embeddings for model in models)
    if most >= rows:
        hint = "Name the tokenizer.json that the encoder was trained with."
        raise EdgekdError(f"the tokenizer gives token {most}, the encoder knows {rows}", hint)
    if longest > limit:
        raise EdgekdError(f"inputs of {longest} tokens, the encoder takes {limit}", f"Set max_length to {limit}.")
    return tokens


def _padding(model: Any) -> int:
    return model.config.pad_token_id or 0
