"""One transform a file: a source artifact in, one artifact out."""
