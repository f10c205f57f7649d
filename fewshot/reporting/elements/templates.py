"""HTML from templates. Text from outside is escaped here, and in svg.py for what is drawn, and nowhere else.

What a reader can't see (control characters, overrides of the writing direction) is spelt out before.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from curate.foundation.text import shown
from fewshot.reporting.elements import wording
from fewshot.reporting.elements.svg import harmless

FORMATS: tuple[Callable[..., str], ...] = (
    wording.percent,
    wording.points,
    wording.interval,
    wording.count,
    wording.counted,
    wording.listing,
    wording.part_of,
)


def render(template: Path, /, **values: object) -> Markup:
    """The HTML of a template file, in which every value is escaped but those that are Markup.

    Templates have the functions of FORMATS, and a filter `breakable` for long names. A name that isn't among `values`
    is an error.
    """
    return Markup(_environment().get_template(str(template)).render(values))  # noqa: S704  # escaped


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        finalize=harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {form.__name__: form for form in FORMATS}
    environment.filters["breakable"] = breakable
    return environment


def _read(name: str) -> tuple[str, str, Any]:
    """A template's text, the file that errors name, and None: it doesn't change while a report is made."""
    return Path(name).read_text(encoding="utf-8"), name, None


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after its slashes and underscores."""
    return Markup("<wbr>").join(re.split("(?<=[/_])", shown(name)))
