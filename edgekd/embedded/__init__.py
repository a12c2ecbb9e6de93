"""Data sets that ship inside the package, generated on demand."""
