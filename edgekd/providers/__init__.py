"""One way to a device's Python a file."""
