"""Answers for texts, one JSON line each; --selftest replays the golden vectors this model was measured with.

A bundle's predict.py: it runs beside the bundle's `model` and `edgekd` folders.
"""

import argparse
import json
import sys
from pathlib import Path


def main() -> None:
    # By the name that this file has: in a hub's cache it is a link, and Python looks beside what that leads to.
    here = Path(__file__).absolute().parent
    sys.path.insert(0, str(here))
    from edgekd.errors import EdgekdError
    from edgekd.predicting import predict
    from edgekd.selftest import GOLDEN, replay

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("texts", nargs="*", help="a sentence, or the two of a pair; none: JSON lines on standard input")
    parser.add_argument("--selftest", action="store_true", help="compare with the golden vectors")
    parser.add_argument(
        "--dictionary", type=Path, help="a file of entries, a tab and a type each, instead of the model's"
    )
    given = parser.parse_args()
    lines = [given.texts] if given.texts else map(json.loads, sys.stdin)
    try:
        if given.selftest:
            print(replay(here / "model", here / GOLDEN))
            return
        texts = ((line,) if isinstance(line, str) else tuple(line) for line in lines)
        for answer in predict(here / "model", texts, given.dictionary):
            print(json.dumps(answer, ensure_ascii=False), flush=True)
    except EdgekdError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
