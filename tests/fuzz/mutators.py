"""How a sound input is bent: as bytes, as text by a grammar's words, or as the tree of values that it stands for."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import yaml

Mutator = Callable[[bytes, Random], bytes]
_MOST = 1 << 15  # bytes of an input

try:
    from yaml import CSafeDumper as _Dumper
    from yaml import CSafeLoader as _Loader
except ImportError:
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

EDGES: tuple[Any, ...] = (
    *(None, True, False, "", " ", 0, -1, 1, 2, 0.5, -0.0, 1e-300, 1e300, float("inf"), float("nan"), 2**31, 2**63),
    *(10**30, 10**400, "0", "a", "..", "../../../tmp/out", "/", "/dev/null", "~nobody/x", "$HOME; id", "a: b", "*"),
    *("\0", "\x1b[31m", "é", "词", "İ", "\ud800", "\u2028", "\ufeff", "a\nb", "x" * 300, "x" * 5000, "9" * 4500),
    *("%s{0}{x}", "${x}", [], {}, [None], [[]], {"": None}, {"a": {"b": 1}}, ["a", "a"], [1, "a", None]),
)  # fmt: skip
YAML_WORDS = (
    *("&a ", "*a", "<<: *a", "? ", "- ", ": ", ", ", "[", "]", "{", "}", "|\n ", "'", '"', "# ", "~", "=", "\t"),
    *("!x ", "%YAML 1.1\n---\n", "---\n", "...\n", "\r\n", "\u2028", "\x85", "\ufeff", "null", "yes", "9" * 4500),
    *("2020-13-45", "1:60:60", "0x", "0b", "1_0", ".inf", ".nan", "!!timestamp ", "!!int ", "!!float ", "!!bool "),
    *("!!binary ", "!!set ", "!!omap ", "!!pairs ", "!!null ", "!!str ", "!!seq ", "!!map ", "!!merge "),
)  # fmt: skip
JSON_WORDS = (
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "null",
    "NaN",
    "-Infinity",
    "1e999",
    "-0",
    '"\\ud800"',
    "\\u0000",
    "9" * 4500,
)


def raw(words: Sequence[str] = ()) -> Mutator:
    """A few cuts, copies, repetitions and insertions."""
    given = [word.encode() for word in words if word]

    def mutate(data: bytes, draw: Random) -> bytes:
        for _ in range(draw.choice((1, 1, 2, 3, 5))):
            start = draw.randrange(len(data) + 1)
            end = min(len(data), start + draw.choice((1, 1, 2, 8, 40, 200)))
            match draw.randrange(9):
                case 0:
                    data = data[:start] + data[end:]
                case 1:
                    data = data[:end] + data[start:]
                case 2:
                    data = data[:start] + draw.randbytes(draw.choice((1, 1, 2, 4))) + data[end:]
                case 3:
                    data = data[:start] + data[start:end] * draw.choice((2, 8, 50, 1000)) + data[end:]
                case 4:
                    other = draw.randrange(len(data) + 1)
                    data = data[:start] + data[other : other + 40] + data[end:]
                case 5:
                    data = data[:start] if draw.random() < 0.3 else data[:start] + data[end:] + data[start:end]
                case _ if given:
                    word = draw.choice(given)
                    many = min(draw.choice((1, 1, 1, 1, 1, 2, 20, 3000)), 1 + _MOST // len(word))
                    data = data[:start] + word * many + data[draw.choice((start, end)) :]
                case _:
                    data = data[:start] + bytes([draw.choice(b"\x00\xff\n\t \x80\xed0A")]) + data[start:]
        return data[:_MOST]

    return mutate


def tree(
    load: Callable[[bytes], Any], dump: Callable[[Any], bytes], seeds: Sequence[bytes], words: Sequence[str]
) -> Mutator:
    """Values and names of a tree put elsewhere, taken away, replaced by edges; sometimes its text is bent then."""
    pool, keys = list(EDGES), ["", "a", "x" * 300]
    for seed in seeds:
        for holder, place in _places([load(seed)]):
            pool.append(holder[place])
            keys += [place] if isinstance(place, str) else []
    as_text = raw(words)

    def mutate(data: bytes, draw: Random) -> bytes:
        if draw.random() < 0.2:
            return as_text(data, draw)
        try:
            root = [load(data)]
            for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
                _bend(root, pool, keys, draw)
            data = dump(root[0])
        except (Exception, RecursionError):  # it was bent as a text before
            return as_text(data, draw)
        return as_text(data, draw) if draw.random() < 0.1 else data[:_MOST]

    return mutate


def yaml_tree(seeds: Sequence[bytes]) -> Mutator:
    def load(data: bytes) -> Any:
        return yaml.load(data, _Loader)

    def dump(value: Any) -> bytes:
        return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1000).encode(
            errors="replace"
        )

    return tree(load, dump, seeds, YAML_WORDS)


def json_tree(seeds: Sequence[bytes], words: Sequence[str] = ()) -> Mutator:
    return tree(json.loads, lambda value: json.dumps(value).encode(), seeds, (*JSON_WORDS, *words))


def json_lines(seeds: Sequence[bytes], words: Sequence[str] = (), prefix: str = "") -> Mutator:
    """A line is a value; one that is none stays a text."""

    def load(data: bytes) -> Any:
        return [_line(line.removeprefix(prefix)) for line in data.decode(errors="replace").split("\n")]

    def dump(value: Any) -> bytes:
        rows = value if isinstance(value, list) else [value]
        return "\n".join(row if isinstance(row, str) else prefix + json.dumps(row) for row in rows).encode(
            errors="replace"
        )

    return tree(load, dump, seeds, (*JSON_WORDS, *words, prefix, f"\n{prefix}"))


def _line(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _places(root: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key or number) below a list or mapping; what YAML's aliases name twice, or within itself, once."""
    found, seen = [root], set[int]()
    while found:
        holder = found.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        for place in holder if isinstance(holder, dict) else range(len(holder)):
            yield holder, place
            if isinstance(holder[place], (dict, list)):
                found.append(holder[place])


def _bend(root: list[Any], pool: Sequence[Any], keys: Sequence[str], draw: Random) -> None:
    places = list(_places(root))
    holder, place = draw.choice(places)
    value = draw.choice(pool)
    value = json.loads(json.dumps(value)) if isinstance(value, (dict, list)) else value
    match draw.randrange(8):
        case 0 | 1 | 2:
            holder[place] = value
        case 3:
            if holder is not root:
                del holder[place]
        case 4:
            other, there = draw.choice(places)
            if not isinstance(holder[place], (dict, list)):
                other[there] = holder[place]
        case 5:
            if isinstance(holder, dict):
                holder[draw.choice(keys)] = holder.pop(place)
            else:
                holder[place] = [holder[place]] if draw.random() < 0.5 else {draw.choice(keys): holder[place]}
        case 6:
            if isinstance(holder[place], list):
                holder[place].insert(draw.randrange(len(holder[place]) + 1), value)
            elif isinstance(holder[place], dict):
                holder[place][draw.choice(keys)] = value
            elif isinstance(holder[place], str):
                holder[place] = raw()(holder[place].encode(errors="replace"), draw).decode(errors="replace")
            elif isinstance(holder[place], (int, float)) and not isinstance(holder[place], bool):
                holder[place] *= draw.choice((-1, 0, 1000, 1e9))
        case _:
            if isinstance(holder, list) and holder is not root:
                holder[:] = holder * 2 if len(holder) < 1000 else holder[:1]
            else:
                holder[place] = value
