"""Distillation in torch: no YAML, no paths of runs."""
