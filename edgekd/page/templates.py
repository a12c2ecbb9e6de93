"""The templates beside this file, filled. What they are given is escaped, but for pictures that were drawn here."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(name: str, **given: object) -> str:
    """A template as text. A name that it asks for and is not given is a mistake of ours, and raises."""
    return _environment().get_template(name).render(**given)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    found = Environment(
        loader=PackageLoader("edgekd.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["drawn"] = Markup
    return found
