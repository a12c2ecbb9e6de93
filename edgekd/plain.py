"""Text that may come from anywhere, as a terminal can be shown it."""

import re

# C0 but tab and line feed, DEL, C1, what turns the direction of writing (Boucher and Anderson, "Trojan Source",
# 2021), and lone surrogates, which no encoding takes.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE = 800  # characters


def plain(text: str) -> str:
    r"""What a terminal would obey, as \uXXXX: inside a string of JSON that still means the same."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def brief(text: str) -> str:
    """As `plain`, without the middle of lines that nobody would read."""
    return "\n".join(map(_cut, plain(text).split("\n")))


def one_line(text: str) -> str:
    """As `plain`, on one line, such as for a comment: none of it can stand for anything else."""
    return plain(" ".join(text.split()))


def marked_down(line: str) -> str:
    """As `plain`, as one line of a Markdown page: no HTML in it, and nothing that begins another."""
    return plain(" ".join(line.splitlines())).replace("<", "&lt;")


def _cut(line: str) -> str:
    if len(line) <= _LINE:
        return line
    half = _LINE // 2
    return f"{line[:half]} ... {len(line) - 2 * half:,} more characters ... {line[-half:]}"
