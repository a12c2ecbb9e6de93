"""One kind of task a file: its head, its metrics, its decoding."""
