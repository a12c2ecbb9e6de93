"""Samples a second and peak memory of distillation: edgekd, TextBrewer, and transformers' Trainer with the same losses.

python benchmarks/trainers.py --teacher FOLDER/teacher --data FOLDER/SST-2 [--rows 3000] [--rounds 3]

The teacher is a fine-tuned step of a run, the student has --layers of it, --width wide. All learn from the teacher's
embeddings, hidden states, attention and logits and from the labels, in batches of 32, AdamW, two epochs; the second is
told, since edgekd keeps the teacher's outputs in the first. Each in a process of its own, in turn, A B C A B C ...
TextBrewer and Trainer are given what their examples give: rows padded to the longest of their batch. EDGEKD_TEXTBREWER
names a Python that has TextBrewer.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rows import MAX_LENGTH, glue

BATCH, EPOCHS, RATE = 32, 2, 5e-5
TRAINERS = ("edgekd", "textbrewer", "trainer")


def parts(given: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The train split, the teacher, and the student at its start."""
    from edgekd.kd.encoder import load_classifier
    from edgekd.kd.student import shaped
    from edgekd.start import Shape

    data = glue(given.data, given.preset, given.rows)
    teacher = load_classifier(given.teacher, attn_implementation="eager")
    return data, teacher, shaped(teacher, Shape(layers=given.layers, width=given.width))


def edgekd(given: argparse.Namespace) -> list[float]:
    from edgekd.processes import for_training

    for_training()  # as a run does, before torch is loaded
    from edgekd.kd.fitting import rows
    from edgekd.kd.objective import Learner
    from edgekd.kd.phase import Phase, Terms
    from edgekd.kd.training import Training

    data, teacher, student = parts(given)
    terms = Terms(embedding=1, hidden=1, attention=1, soft=1, hard=1)
    phase = Phase(name="taught", terms=terms, epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE)
    learning = rows(data.train.texts, data.train.targets, given.teacher, MAX_LENGTH, student)
    told: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(student, {"tuned": teacher}, [phase])

        def watch(label: str, done: float, total: float) -> None:
            if not label.endswith("teacher"):
                told.append((done / total, time.perf_counter()))

        Training(
            learner, [phase], [learning], 1, Path(folder), watch, checkpoint_s=1e9, cache_bytes=4e9, frugal=True
        ).run()
    half = next(at for share, at in told if share >= 0.5)
    return [told[-1][1] - half]


def textbrewer(given: argparse.Namespace) -> list[float]:
    from torch.optim import AdamW

    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig  # isort: skip

    data, teacher, student = parts(given)
    pairs = [(round(n * teacher.config.num_hidden_layers / given.layers), n) for n in range(given.layers + 1)]
    wide = ["linear", given.width, teacher.config.hidden_size]
    matches: list[dict[str, Any]] = [
        {"layer_T": t, "layer_S": s, "feature": "hidden", "loss": "hidden_mse", "weight": 1, "proj": wide}
        for t, s in pairs
    ] + [
        {"layer_T": t - 1, "layer_S": s - 1, "feature": "attention", "loss": "attention_mse", "weight": 1}
        for t, s in pairs[1:]
    ]
    config = DistillationConfig(
        temperature=1, hard_label_weight=1, kd_loss_weight=1, kd_loss_type="ce", intermediate_matches=matches
    )

    def adapt(batch: Any, found: Any) -> dict[str, Any]:
        states = {"hidden": found.hidden_states, "attention": found.attentions}
        return {"logits": (found.logits,), "losses": (found.loss,), **states}

    for model in (teacher, student):
        model.config.output_hidden_states = model.config.output_attentions = True
    ends = [time.perf_counter()]
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingConfig(device="cpu", output_dir=folder, log_dir=None, ckpt_frequency=1)
        distiller = GeneralDistiller(training, config, teacher, student, adapt, adapt)
        with distiller:
            loader = batches(data, given.teacher)
            distiller.train(
                AdamW(student.parameters(), lr=RATE),
                loader,
                num_epochs=EPOCHS,
                callback=lambda model, step: ends.append(time.perf_counter()),
            )
    return [ends[-1] - ends[-2]]


def trainer(given: argparse.Namespace) -> list[float]:
    import torch
    import transformers
    from torch.nn import functional

    data, teacher, student = parts(given)
    wide = torch.nn.Linear(given.width, teacher.config.hidden_size)
    step = teacher.config.num_hidden_layers // given.layers

    class Distilling(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            found = model(**inputs, output_hidden_states=True, output_attentions=True)
            with torch.no_grad():
                told = teacher(**inputs, output_hidden_states=True, output_attentions=True)
            loss = found.loss + functional.cross_entropy(found.logits, told.logits.softmax(-1))
            for number, states in enumerate(found.hidden_states):
                loss = loss + functional.mse_loss(wide(states), told.hidden_states[number * step])
            for number, scores in enumerate(found.attentions):
                loss = loss + functional.mse_loss(scores, told.attentions[(number + 1) * step - 1])
            return (loss, found) if return_outputs else loss

    class Clock(transformers.TrainerCallback):
        ends: list[float] = [time.perf_counter()]  # noqa: RUF012

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    teacher.eval()
    rows, collate = tokenized(data, given.teacher)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        Distilling(student, arguments, data_collator=collate, train_dataset=rows, callbacks=[Clock()]).train()
    return [Clock.ends[-1] - Clock.ends[-2]]


def tokenized(data: Any, folder: Path) -> tuple[list[dict[str, Any]], Any]:
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    encoded = tokenizer([text[0] for text in data.train.texts], truncation=True, max_length=MAX_LENGTH)
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(target)}
        for ids, target in zip(encoded["input_ids"], data.train.targets, strict=True)
    ]
    return rows, transformers.DataCollatorWithPadding(tokenizer)


def batches(data: Any, folder: Path) -> Any:
    import torch

    rows, collate = tokenized(data, folder)
    return torch.utils.data.DataLoader(rows, batch_size=BATCH, shuffle=True, collate_fn=lambda own: dict(collate(own)))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a fine-tuned step")
    parser.add_argument("--data", type=Path, required=True, help="a GLUE task's folder")
    parser.add_argument("--preset", default="sst2")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=312)
    parser.add_argument("--only", choices=TRAINERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        (seconds,) = globals()[given.only](given)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak": peak}))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in TRAINERS}
    for _ in range(given.rounds):
        for name in TRAINERS:
            python = os.environ.get("EDGEKD_TEXTBREWER", sys.executable) if name == "textbrewer" else sys.executable
            ended = subprocess.run(
                [python, *sys.argv, "--only", name], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            found[name].append(json.loads(ended.stdout.splitlines()[-1]))
    print("| | rows a second, median (least to most) | edgekd's in multiples of it | peak MB |\n|---|---|---|---|")
    for name, own in found.items():
        rates = [given.rows / one["seconds"] for one in own]
        times = [one["seconds"] / ours["seconds"] for one, ours in zip(own, found["edgekd"], strict=True)]
        print(
            f"| {name} | {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}) "
            f"| {statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f}) "
            f"| {max(one['peak'] for one in own) / 1e6:.0f} |"
        )


if __name__ == "__main__":
    main()
