"""Makes dictionaries of public word lists: python benchmarks/lexicons.py FOLDER OUT

FOLDER holds lexicon/en (NLTK's names and gazetteers, world-cities.csv, nasdaq-listed.csv, sp500-constituents.csv) and
lexicon/zh (THUOCL's lists, jieba's dict.txt.small). OUT gets wnut17.tsv, sroie.tsv and resume_zh.tsv: an entry, a tab
and its type a line. Types are the lists' own, not a data set's labels. Where FOLDER/ner/sroie/sroie.jsonl lies too, OUT
gets vendors.tsv: sroie.tsv and, as a till's list of vendors has them, the companies and addresses of the train split.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.dictionary import Dictionary

Entries = Iterable[tuple[str, str]]


def listed(file: Path, kind: str, shortest: int = 3) -> Entries:
    """The first column of a plain list."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    words = (line.split("\t")[0].strip() for line in lines)
    return [(word, kind) for word in words if len(word) >= shortest]


def table(file: Path, column: str, kind: str, **wanted: str) -> Entries:
    """A column of a CSV file's rows whose other columns are as wanted."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if all(row[name] == value for name, value in wanted.items())]
    return [(row[column].strip(), kind) for row in rows if len(row[column].strip()) >= 3]


def companies(file: Path, column: str) -> Entries:
    """Names without what a register adds: '- Common Stock', 'Inc.'."""
    endings = (" inc", " inc.", " corporation", " corp.", " ltd", " ltd.", " limited", " plc", " company", " co.")
    for name, kind in table(file, column, "company"):
        short = name.split(" - ")[0].split(",")[0].strip()
        while ending := next((end for end in endings if short.lower().endswith(end)), None):
            short = short[: -len(ending)].strip()
        if len(short) >= 3 and "ETF" not in short:
            yield short, kind


def chinese(file: Path) -> Entries:
    """jieba's words of the parts of speech that name something: nr people, ns places, nt organisations."""
    kinds = {"nr": "person", "ns": "place", "nt": "organisation"}
    for line in file.read_text(encoding="utf-8").splitlines():
        word, _, part = line.split(" ")
        if part in kinds and len(word) >= 2:
            yield word, kinds[part]


def vendors(file: Path) -> Entries:
    """The companies and addresses of train's receipts, as receipts.yaml draws them."""
    options = DataOptions(source=str(file), preset="sroie", max_length=512)
    return [(entry, kind) for entry, kind in Data(options, seed=42).entities if kind in ("company", "address")]


def main() -> None:
    source, out = Path(sys.argv[1]) / "lexicon", Path(sys.argv[2])
    receipts = Path(sys.argv[1], "ner", "sroie", "sroie.jsonl")
    en, zh = source / "en", source / "zh"
    people = [*listed(en / "names_male.txt", "first name"), *listed(en / "names_female.txt", "first name")]
    gazetteers = [
        entry for name in ("countries", "uscities", "usstates") for entry in listed(en / f"gaz_{name}.txt", "place", 4)
    ]
    firms = [
        *companies(en / "nasdaq-listed.csv", "Security Name"),
        *companies(en / "sp500-constituents.csv", "Security"),
    ]
    cities = table(en / "world-cities.csv", "name", "place", country="Malaysia")
    states = table(en / "world-cities.csv", "subcountry", "place", country="Malaysia")
    texts = [("SDN BHD", "company form"), ("JALAN", "street"), ("TAMAN", "street"), ("LORONG", "street")]
    terms = [*listed(zh / "THUOCL_caijing.txt", "finance", 2), *listed(zh / "THUOCL_IT.txt", "technology", 2)]
    made = {
        "wnut17": [*people, *gazetteers, *firms],
        "sroie": [*cities, *states, *texts],
        "resume_zh": [*listed(zh / "THUOCL_diming.txt", "place", 2), *chinese(zh / "jieba_dict_small.txt"), *terms],
    }
    if receipts.is_file():
        made["vendors"] = [*vendors(receipts), *made["sroie"]]
    out.mkdir(parents=True, exist_ok=True)
    for name, entries in made.items():
        dictionary = Dictionary(tuple(dict.fromkeys(entries)))
        dictionary.write(out / f"{name}.tsv")
        print(f"{name}.tsv: {len(dictionary.entries)} entries, {', '.join(dictionary.kinds)}")


if __name__ == "__main__":
    main()
