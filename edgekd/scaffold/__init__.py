"""Plug-ins to begin with, which `edgekd new` copies under another name, each with its test."""
