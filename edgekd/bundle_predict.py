"""Answers for texts, one JSON line each; --selftest replays the golden vectors this model was measured with.

A bundle's predict.py: it runs beside the bundle's `model` and `edgekd` folders.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

# By the name that this file has: in a hub's cache it is a link, and Python looks beside what that leads to.
HERE = Path(__file__).absolute().parent


def main() -> None:
    sys.path.insert(0, str(HERE))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "texts", nargs="*", help="a sentence, or the two of a pair; none: lines of text or JSON on standard input"
    )
    parser.add_argument("--selftest", action="store_true", help="compare with the golden vectors")
    parser.add_argument(
        "--dictionary", type=Path, help="a file of entries, a tab and a type each, instead of the model's"
    )
    parser.add_argument(
        "--key", help="minisign's public key, or its file: check the bundle's signature and files first"
    )
    given = parser.parse_args()
    if given.key:
        sys.pycache_prefix = os.devnull  # what is compiled is not signed
    made, ours = _made_for(), "{}.{}".format(*sys.version_info)
    if made and made.group("python") != ours:
        print(f"note: this is Python {ours}, and the bundle is for {made[0]}", file=sys.stderr)
    try:
        _answer(given)
    except ModuleNotFoundError as error:
        python = f"python{made['python']}" if made else "python3"
        sys.exit(
            f"error: there is no module {error.name} in {sys.executable}\n"
            f"  Type: {python} -m pip install --no-deps -r {HERE / 'requirements.txt'}"
        )


def _made_for() -> "re.Match[str] | None":
    """The Python and platform that requirements.txt is for."""
    file = HERE / "requirements.txt"
    told = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return re.search(r"Python (?P<python>\d+\.\d+) on \w+", told.partition("\n")[0])


def _answer(given: argparse.Namespace) -> None:
    from edgekd import signing
    from edgekd.errors import EdgekdError

    try:
        if given.key:
            signing.check_signature(HERE, given.key)
        if given.key or given.selftest:
            signing.check(HERE)
    except EdgekdError as error:
        sys.exit(f"error: {error}")
    from edgekd.asking import asked
    from edgekd.plain import plain
    from edgekd.predicting import predict
    from edgekd.selftest import GOLDEN, replay

    try:
        if given.selftest:
            print(replay(HERE / "model", HERE / GOLDEN))
            return
        for answer in predict(HERE / "model", asked(HERE / "model", given.texts), given.dictionary):
            print(plain(json.dumps(answer, ensure_ascii=False)), flush=True)
    except EdgekdError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
