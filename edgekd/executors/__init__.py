"""Where the steps of a sweep are made, an executor a file."""
