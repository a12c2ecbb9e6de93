"""What the commands print. Names, labels and texts in it come from files that anybody may have written."""

import click

from edgekd.plain import plain


def echo(text: str, nl: bool = True, err: bool = False) -> None:
    """As click's, without what a terminal would obey."""
    click.echo(plain(text), nl=nl, err=err)
