"""edgekd takes a language model from a teacher to a phone: distill, quantize, export, measure, refuse."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekd.api import load, run
    from edgekd.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["Recipe", "__version__", "load", "run"]

_PLACES = {"Recipe": "edgekd.recipe", "run": "edgekd.api", "load": "edgekd.api"}


def __getattr__(name: str) -> Any:
    """What the package offers, loaded when it is asked for: the command line must not wait for it."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'edgekd' has no attribute '{name}'")
