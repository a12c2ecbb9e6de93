"""One published system of distillation a file: a tuple of phases."""
