"""report.html: one file that asks no network, drawn from a report alone."""
