"""Converters print much, from Python and from C++: it is kept back, and shown where they fail."""

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(always: bool = False) -> Iterator[None]:
    """Keep back what is printed, logged and warned inside; on an exception it goes to standard error, unless `always`.

    Standard output is kept back at Python's level only: a progress bar that was begun outside goes on.
    """
    python = io.StringIO()
    with tempfile.TemporaryFile() as native:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(native.fileno(), 2)
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            with contextlib.redirect_stdout(python), contextlib.redirect_stderr(python), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception:
            if not always:
                native.seek(0)
                os.write(saved, python.getvalue().encode() + native.read())
            raise
        finally:
            logging.disable(level)
            os.dup2(saved, 2)
            os.close(saved)
