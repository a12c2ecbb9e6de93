"""One way to reach a device a file."""
