"""edgekd takes a language model from a teacher to a phone: distill, quantize, export, measure, refuse."""

__version__ = "0.1.0"
