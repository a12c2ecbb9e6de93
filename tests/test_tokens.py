"""Tagging words: what a word is, which token stands for it, what is learnt, and the chain from a file to spans."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional as F

from edgekd import bundle_card, pipeline, receipts, selftest, tagging, words, worker
from edgekd.artifact import Artifact
from edgekd.bundle_requirements import Target
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.kd import fitting
from edgekd.kd.encoder import load_classifier
from edgekd.kd.objective import Learner
from edgekd.kd.outputs import Outputs
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.rows import Rows
from edgekd.kd.tap import Tap
from edgekd.kd.trace import Needs
from edgekd.predicting import predict
from edgekd.recipe import load
from edgekd.store import Store
from edgekd.tagging import Entity, Scheme
from edgekd.task import TASKS
from edgekd.tokens import Encoded, encode
from tests.conftest import Quiet, build_encoder, tagged, write_bio

BIO = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TASK = TASKS.get("tokens")()


def data(source: Path, **more: Any) -> Data:
    return Data(DataOptions.model_validate({"source": str(source), "task": "tokens", **more}))


def wordpiece(*pieces: str, longest: int = 64) -> Tokenizer:
    """A BERT tokenizer that knows some pieces."""
    vocabulary = {piece: number for number, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.enable_truncation(longest)
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said "Paris."', ["He", "said", '"', "Paris", '."']),
        ("in the U.S.A, it's 's :)", ["in", "the", "U.S.A", ",", "it's", "'s", ":)"]),
        ("高勇：男，1977年 MBA。", ["高", "勇", "：", "男", "，", "1977", "年", "MBA", "。"]),
        ("トヨタ自動車とソニー・ㄱ", ["トヨタ", "自", "動", "車", "と", "ソニー", "・", "ㄱ"]),
        ("김철수는 서울에 산다.", ["김철수는", "서울에", "산다", "."]),
        ("  \n ", []),
    ],
)
def test_a_text_has_words(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in words.spans(text)] == expected


def test_words_make_a_text() -> None:
    assert words.joined(["New", "York", "."]) == "New York ."
    assert words.joined(["高", "勇", "M", "男"]) == "高勇M男"
    assert words.joined(["と", "ソ", "ニ", "ー"]) == "とソニー"


@pytest.mark.parametrize("prefixes", ["BI", "SBIE"])
def test_entities_are_those_that_seqeval_counts(prefixes: str) -> None:
    from seqeval.metrics.sequence_labeling import get_entities

    draw = random.Random(0)
    choice = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("PER", "LOC"))]
    for _ in range(300):
        tags = draw.choices(choice, k=draw.randint(1, 8))
        assert [(entity.kind, entity.first, entity.last) for entity in tagging.entities(tags)] == get_entities(tags)


@pytest.mark.parametrize("prefixes", ["BI", "SBIE", "SBME", "UBIL"])
def test_scores_count_the_entities_of_every_scheme(prefixes: str) -> None:
    draw = random.Random(0)
    choice = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("PER", "LOC"))]
    for _ in range(300):
        true, said = (np.array(draw.choices(range(len(choice)), k=6)) for _ in range(2))
        there, found = ({tuple(vars(each).values()) for each in told(tags, choice)} for tags in (true, said))
        values = [TASK.compared(tags, choice, np.array([6])) for tags in (said, true)]
        assert TASK.metrics["recall"](*values) == pytest.approx(len(there & found) / max(len(there), 1))
        assert TASK.metrics["precision"](*values) == pytest.approx(len(there & found) / max(len(found), 1))


def told(tags: Any, names: list[str]) -> list[Entity]:
    return list(tagging.entities([names[int(tag)] for tag in tags]))


@pytest.mark.parametrize(
    ("seen", "spelt"),
    [
        ("B-X", "B-X O B-X I-X I-X"),
        ("E-X", "S-X O B-X I-X E-X"),
        ("M-X", "S-X O B-X M-X E-X"),
        ("U-X", "U-X O B-X I-X L-X"),
    ],
)
def test_a_scheme_spells_entities(seen: str, spelt: str) -> None:
    scheme = Scheme.of(["O", seen])
    found = [Entity("X", 0, 0), Entity("X", 2, 4)]
    assert scheme.tags([*found, Entity("X", 4, 4)], 5) == spelt.split()
    assert tagging.entities(spelt.split()) == found
    assert set(spelt.split()) <= set(scheme.labels(["X"])) and scheme.labels(["X"])[0] == "O"


def test_scores_are_of_whole_entities() -> None:
    ends = np.array([3, 5])
    true, predicted = np.array([3, 4, 0, 1, 0]), np.array([3, 0, 0, 1, 0])  # one of two found, one too short
    scores = {
        name: metric(*(TASK.compared(v, BIO, ends) for v in (predicted, true))) for name, metric in TASK.metrics.items()
    }
    assert scores == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "macro_f1": 0.5, "accuracy": 0.8}
    apart = [TASK.compared(np.array(values), BIO, np.array([2, 4])) for values in ([3, 4, 0, 0], [3, 4, 4, 4])]
    assert TASK.metrics["f1"](*apart) == pytest.approx(2 / 3), "an entity ends with its row: here are two"


@pytest.mark.parametrize("blank", ["", " \t"])
def test_columns_of_any_scheme_hold_the_same_entities(tmp_path: Path, blank: str) -> None:
    (tmp_path / "bio").mkdir()
    (tmp_path / "bmes").mkdir()
    rows = "-DOCSTART- O\n\n张\tB-NAME\n三\tI-NAME\n在\tO\n北\tB-LOC\n京\tI-LOC\n市\tI-LOC\n{0}\n京 NN B-LOC\n"
    (tmp_path / "bio" / "train.bio").write_text(rows.format(blank))
    spelt = rows.replace("三\tI", "三\tE").replace("市\tI", "市\tE").replace("京\tI", "京\tM").replace("NN B", "NN S")
    (tmp_path / "bmes" / "train.char.bmes").write_text(spelt.format(blank))
    bio = data(tmp_path / "bio" / "train.bio", dev_fraction=0.5)
    bmes = data(tmp_path / "bmes", splits={"train": "train.char"}, dev_fraction=0.5)
    assert bio.labels == ("O", "B-LOC", "I-LOC", "B-NAME", "I-NAME")
    assert bmes.labels[:5] == ("O", "B-LOC", "M-LOC", "E-LOC", "S-LOC")
    answers = []
    for read in (bio, bmes):
        splits = (read.train, read._split("dev"))
        answers.append(
            [TASK.decode(np.eye(len(read.labels))[split.targets], read.labels, split.texts) for split in splits]
        )
    told = [[(e["type"], e["text"]) for answer in split for e in answer["entities"]] for split in answers[0]]
    assert sorted(told) == [[("LOC", "京")], [("NAME", "张三"), ("LOC", "北京市")]]
    assert [[e["text"] for a in split for e in a["entities"]] for split in answers[1]] == [
        [t for _, t in s] for s in told
    ]


def test_json_lines_hold_words_or_marked_texts(tmp_path: Path) -> None:
    spelt = [{"tokens": ["Ann", "lives", "here"], "ner": ["B-PER", "O", "O"]}] * 4
    text = [{"tokens": "Ann's here", "ner": [{"start": 0, "end": 3, "label": "PER"}]}] * 4
    for rows, own in ((spelt, "Ann"), (text, "Ann's")):
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        read = data(tmp_path / "train.jsonl", text=["tokens"], label="ner", dev_fraction=0.5)
        assert read.labels == ("O", "B-PER", "I-PER") and len(read.train.first(1).targets) == read.train.ends[0]
        (answer, _) = TASK.decode(np.eye(3)[read.dev.targets], read.labels, read.dev.texts)
        assert [entity["text"] for entity in answer["entities"]] == [own], "whole words"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\tB-X\n\nb\tX\n", r"train.bio:3: tag 'X' is not O, nor a prefix and a type"),
        ("a\tO\nb\n", r"train.bio:2: one cell in this line"),
        ("a\tO\n\nb\tO\n", r"train.bio: no word is tagged"),
        ("a\tB-X\n\n\u200b\tO\n\nb\tB-X\n\n  \tO\n", r"train.bio:7: the row has no word"),
    ],
)
def test_bad_columns_are_said_with_their_line(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "train.bio").write_text(content)
    write_bio(tmp_path / "dev.bio", [(["a"], ["O"])] * 2)
    with pytest.raises(EdgekdError, match=expected):
        data(tmp_path).train  # noqa: B018
    with pytest.raises(ValueError, match="the words of a row are one column"):
        data(tmp_path, text=["a", "b"])


def test_a_tag_that_train_lacks_is_said(tmp_path: Path) -> None:
    write_bio(tmp_path / "train.bio", [(["a"], ["B-X"])])
    write_bio(tmp_path / "dev.bio", [(["a"], ["O"]), (["a", "b"], ["B-X", "I-X"]), (["a"], ["B-Y"])])
    with pytest.raises(EdgekdError, match=r"dev.bio:6: tag 'B-Y' is none of O, B-X, I-X"):
        data(tmp_path).dev  # noqa: B018


def test_values_of_a_receipt_are_found_in_its_lines() -> None:
    lines = [{"text": text} for text in ("ACME Sdn. Bhd", "12,Jalan X", "TOTAL 9.00", "CASH 19.00", "9.00", "1/2/18")]
    key = {"company": "Acme SDN BHD.", "address": "12, JALAN X.", "total": "9.00", "date": "1/2/18"}
    table = receipts.marked({"lines": [lines], "key": [key]})
    (text,), (found,) = table["text"], table["entities"]
    assert {e["label"]: text[e["start"] : e["end"]] for e in found} == {
        "company": "ACME Sdn. Bhd",
        "date": "1/2/18",
        "address": "12,Jalan X",
        "total": "9.00",
    }
    assert text[next(e["start"] for e in found if e["label"] == "total") - 6 :].startswith("TOTAL 9.00")


def test_a_word_is_its_first_piece() -> None:
    tokenizer = wordpiece("play", "##ing", "(", "paris", ".", "'", "s", longest=9)
    text = "Playing (Paris's playing) play Paris"
    found = encode(tokenizer, [(text,)], words.spans)
    #       [CLS] play ##ing ( paris ' s play [SEP]: cut after that
    assert found.ids[0].tolist() == [2, 4, 5, 6, 7, 9, 10, 4, 3]
    assert found.places is not None and found.places[0].tolist() == [1, 3, 4, 7, -1, -1, -1]
    outputs = np.arange(9 * 5).reshape(9, 5)
    answers = TASK.answers(outputs.astype(float), found, BIO)
    assert answers[:4, 0].tolist() == [5, 15, 20, 35] and answers[4:].tolist() == [[1, 0, 0, 0, 0]] * 3


def test_korean_and_japanese_words_have_a_token() -> None:
    tokenizer = wordpiece("김철수", "##는", "서울", "##에", "トヨ", "##タ", "自", "##と")
    found = encode(tokenizer, [("김철수는 서울에 トヨタ自",)], words.spans)
    assert found.places is not None and (found.places[0] >= 0).all() and len(found.places[0]) == 4


def test_words_inside_of_tokens_are_told_and_rows_without_one_left_out(encoder: Path) -> None:
    one, two = np.array([1, -1, 2, -1]), np.array([-1, -1])
    ids = [np.array([2, 5, 6, 3]), np.array([2, 3])]
    whole = Encoded(ids, [np.zeros_like(row) for row in ids], [one, two])
    kept, theirs, targets = fitting._worded(whole, (whole, 0), np.array([4, 5, 6, 7, 8, 9]))
    assert targets is not None and targets.tolist() == [4, 5, 6, 7]
    assert theirs is not None and len(kept.ids) == len(theirs[0].ids) == 1
    # One of four begins inside a token; what comes after the last token was cut off.
    assert fitting._inside([Rows(kept, targets)]) == [
        "25.0% of the words begin inside a token, and are answered O: another tokenizer suits better"
    ]
    assert fitting._inside([Rows(kept.take([]), None)]) == []
    with pytest.raises(EdgekdError, match="no text has a word that the tokenizer knows"):
        fitting._worded(whole.take([1]), None, None)


def test_a_space_that_a_piece_holds_is_not_its_word() -> None:
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate("Ġab")}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    found = encode(tokenizer, [("ab ba",)], words.spans)
    assert found.places is not None and found.places[0].tolist() == [0, 3]


@pytest.fixture
def batch(encoder: Path) -> dict[str, Any]:
    """Two rows of tokens, of which the words that are labelled begin at some."""
    ids = [np.array([2, 5, 6, 7, 8, 3]), np.array([2, 9, 3])]
    places = [np.array([1, 3, -1]), np.array([1])]
    tokens = type(encode(wordpiece("a"), [("a",)]))(ids, [np.zeros_like(row) for row in ids], places)
    return Rows(tokens, np.array([1, 2, 0, 3])).collate([0, 1])


def test_padding_and_further_pieces_count_nothing(encoder: Path, batch: dict[str, Any]) -> None:
    model = load_classifier(encoder, for_tokens=True, num_labels=5).eval()
    phase = Phase(name="x", terms=Terms(hard=1.0))
    learner = Learner(model, {}, [phase])
    logits = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}).logits
    by_hand = F.cross_entropy(torch.stack([logits[0, 1], logits[0, 3], logits[1, 1]]), torch.tensor([1, 2, 3]))
    torch.testing.assert_close(learner(batch)["loss"], by_hand)


@pytest.mark.parametrize("loss", ["kl", "mse", "dkd", "dist"])
def test_a_teacher_of_other_tokens_is_compared_word_by_word(loss: str, encoder: Path, batch: dict[str, Any]) -> None:
    torch.manual_seed(0)
    student, teacher = (load_classifier(encoder, for_tokens=True, num_labels=5).eval() for _ in range(2))
    learner = Learner(student, {"tuned": teacher}, [Phase(name="x", terms=Terms(soft=1.0), soft_loss=loss)])
    teacher.load_state_dict(student.state_dict())
    alone = {name: batch[name].clone() for name in batch}
    assert learner(alone)["loss"].item() == pytest.approx(learner(batch)["loss"].item())
    # The teacher has a token more in front, and lost the second word.
    theirs = {name: F.pad(batch[name], (1, 0), value=1) for name in ("input_ids", "attention_mask", "token_type_ids")}
    batch |= {"theirs": theirs, "their_places": torch.tensor([[2, -1, -1], [2, -1, -1]])}
    ours, other = (model(**rows).logits for model, rows in ((student, inputs(batch)), (teacher, inputs(theirs))))
    from edgekd.kd.losses.logits import LOGITS

    more = {"targets": torch.tensor([1, 3])} if loss == "dkd" else {}
    expected = LOGITS[loss](ours[[0, 1], [1, 1]], other[[0, 1], [2, 2]], 1.0, **more)
    torch.testing.assert_close(learner(batch)["loss"], expected)


def inputs(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}


def test_a_teachers_answers_are_kept_for_each_token(encoder: Path, tmp_path: Path) -> None:
    tap = Tap(load_classifier(encoder, for_tokens=True, num_labels=5).eval())
    ids = [np.array([2, 5, 6, 3]), np.array([2, 9, 3]), np.array([2, 7, 8, 9, 10, 3])]
    tokens = type(encode(wordpiece("a"), [("a",)]))(ids, [np.zeros_like(row) for row in ids])
    kept = Outputs.of(tap.model, Needs(hidden=frozenset({2})), tokens.lengths, tmp_path / "kept")
    kept.fill(tap, tokens, 0, torch.device("cpu"), lambda done: None)
    assert sum(file.stat().st_size for file in (tmp_path / "kept").glob("*.bin")) == kept.size
    found = kept.batch([2, 1], Needs(hidden=frozenset({2})))
    assert found["logits"].shape == (2, 6, 5)
    for row, given in zip([2, 1], found["logits"], strict=True):
        alone = {name: torch.from_numpy(array) for name, array in tokens.pad([row]).items()}
        with torch.no_grad():
            expected = tap.trace(alone, Needs()).logits[0]
        torch.testing.assert_close(given[: len(ids[row])], expected, atol=1e-5, rtol=1e-4)


class _Executable:
    """Gives each token its id and, where a row is padded, something more: a mask that is wrong."""

    def __init__(self, wrong: float) -> None:
        self._wrong = wrong

    def run(self, given: dict[str, Any], outputs: Any = None) -> dict[str, Any]:
        padded = (given["attention_mask"] == 0).any()
        return {"logits": given["input_ids"][..., None] * np.ones(3) + self._wrong * padded}


@pytest.mark.parametrize("wrong", [0.0, 0.5])
def test_what_padding_changes_is_seen_at_tokens_alone(wrong: float, tmp_path: Path, capsys: Any) -> None:
    rows = [{"input_ids": np.arange(n)[None], "attention_mask": np.ones((1, n), int)} for n in (3, 5, 4)]
    executable: Any = _Executable(wrong)
    assert worker._score({"outputs": str(tmp_path / "found.npy")}, executable, rows) == wrong
    assert np.load(tmp_path / "found.npy")[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 3]


RECIPE = """\
name: tagged
data: {{source: {corpus}, task: tokens, max_length: 32}}
seed: 7
steps:
  - {{id: teacher, stage: finetune, model: {encoder}, epochs: 30, learning_rate: 2.0e-3, batch_size: 16}}
  - id: student
    stage: distill
    model: {{layers: 2, from: teacher}}
    phases:
      intermediate: {{epochs: 6, learning_rate: 2.0e-3, batch_size: 16}}
      prediction: {{epochs: 12, learning_rate: 2.0e-3, batch_size: 16}}
  - {{id: narrow, stage: distill, teacher: teacher, method: logits, model: {{from: teacher, width: 16}}, epochs: 1}}
  - {{id: onnx, stage: export_onnx, source: student}}
  - {{id: onnx_int8, stage: quantize_onnx, max_drop: 0.05, fallback: true}}
devices: [quick]
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, tagged_corpus: Path, encoder: Path) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("chain")
    (root / "devices").mkdir()
    (root / "devices" / "quick.yaml").write_text(
        "name: quick\nrun: {min_runs: 8, min_s: 0, repeats: 1, warmup_s: 0.01}\n"
    )
    recipe = root / "recipe.yaml"
    text = RECIPE.format(corpus=tagged_corpus, encoder=encoder)
    recipe.write_text(text[: text.index("devices:")] + "devices: [quick]\n")
    report = pipeline.run(load(recipe), Store(root / "runs" / ".store"), root / "runs", Quiet())
    return root / "runs" / "tagged", report


def test_the_chain_learns_and_keeps_it(chain: tuple[Path, Any]) -> None:
    _, report = chain
    scores = {step.step: step.score for step in report.steps}
    assert {score.metric for score in scores.values()} == {"f1"} and scores["student"].rows == 40
    assert scores["teacher"].value > 0.95 and scores["student"].value > 0.9
    assert scores["onnx"].value == scores["student"].value
    assert set(scores["onnx"].others) == {"precision", "recall", "macro_f1", "accuracy"}
    assert all(step.timings and step.passed for step in report.steps)
    gates = {gate.name: gate for step in report.steps if step.step == "onnx_int8" for gate in step.gates}
    assert gates["share of equal answers"].value > 0.9


@pytest.mark.parametrize("step", ["student", "onnx_int8"])
def test_answers_are_spans_with_offsets(step: str, chain: tuple[Path, Any]) -> None:
    text = "The cat dog sees a bird."
    (answer,) = predict(chain[0] / step, [(text,)])
    (entity,) = [entity for entity in answer["entities"] if entity["type"] == "THING"]
    assert (entity["start"], entity["end"], entity["text"]) == (19, 23, "bird") and 0 < entity["score"] <= 1


def test_golden_vectors_hold_every_words_logits(chain: tuple[Path, Any], tmp_path: Path) -> None:
    texts = [("the cat sees a dog .",), ("the bird likes a fish horse .",)]
    (tmp_path / "golden.json").write_text(selftest.record(chain[0] / "onnx", texts, exact=True))
    golden = json.loads((tmp_path / "golden.json").read_text())
    assert [len(row["logits"]) for row in golden["rows"]] == [6 * 5, 7 * 5]
    assert "selftest passed: 2 rows" in selftest.replay(chain[0] / "onnx", tmp_path / "golden.json")


def test_a_card_says_what_is_tagged(chain: tuple[Path, Any]) -> None:
    raw = json.loads((chain[0] / "report.json").read_text())
    step = next(entry for entry in raw["steps"] if entry["step"] == "onnx")
    recipe = load(chain[0] / "recipe.yaml", ["devices=[]"])
    data = Data(recipe.data, recipe.seed)
    card = bundle_card.card("x", Artifact.load(chain[0] / "onnx").manifest, raw, step, data, Target())
    assert "pipeline_tag: token-classification" in card and "Tags of words, labels O, B-AGENT" in card


def test_copies_have_no_tags(tagged_corpus: Path, encoder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = RECIPE.format(corpus=tagged_corpus, encoder=encoder).replace(
        "    phases:\n", "    augment: {copies: 2}\n    phases:\n"
    )
    recipe.write_text(text[: text.index("devices:")])
    with pytest.raises(EdgekdError, match="a copy with other words has no tags of its own"):
        load(recipe)


@pytest.mark.parametrize("kind", ["distilbert", "albert", "electra", "roberta"])
def test_every_family_has_a_head_for_tokens(kind: str, tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path, kind), for_tokens=True, num_labels=3).eval()
    from edgekd.kd.encoder import save

    save(model, tmp_path / "saved")
    again = load_classifier(tmp_path / "saved").eval()
    ids = torch.tensor([[2, 5, 6, 3]])
    torch.testing.assert_close(again(ids).logits, model(ids).logits)
    assert model(ids).logits.shape == (1, 4, 3)


def test_the_embedded_set_is_half_unseen() -> None:
    read = Data(DataOptions.model_validate({"source": "embedded/entities"}))

    def names(split: Any) -> list[str]:
        answers = TASK.decode(np.eye(len(read.labels))[split.targets], read.labels, split.texts)
        return [entity["text"] for answer in answers for entity in answer["entities"]]

    known, asked = set(names(read.train)), names(read.dev)
    assert 0.4 < sum(name not in known for name in asked) / len(asked) < 0.6
    assert len(tagged(3, 0)) == 3 and read.metric == "f1"
