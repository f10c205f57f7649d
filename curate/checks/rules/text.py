"""Much text over a picture (posters, captions, page scans), or one faint mark repeated all over it (stock watermarks).

Nothing is read: curate/checks/measures/lettering.py finds rows of letter-like shapes. Of watermarks only those that repeat on a
slant leave a trace, and a good half of these; a single faint word, a logo or a few marks in the picture do not.
"""

from collections.abc import Mapping

import pandas as pd

from curate.checks.rules.readable import readable
from curate.checks.rules.rule import Inputs, Kind, Rule


def text(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """The score is 0.5 at `letters` letters in rows, or where `repetition` of the faint structure repeats.

    Raises CannotRun where no file can be read.
    """
    numbers = readable(inputs)
    lettering = numbers["letters"] / (numbers["letters"] + parameters["letters"])
    repeated = numbers["repetition"] / (numbers["repetition"] + parameters["repetition"])
    detail = [
        _lettered(int(letters), int(rows)) if much >= faint else "a faint mark repeats over the picture"
        for letters, rows, much, faint in zip(numbers["letters"], numbers["rows"], lettering, repeated, strict=True)
    ]
    score = pd.concat([lettering, repeated], axis=1).max(axis=1)
    return pd.DataFrame({"key": numbers["key"], "score": score, "detail": detail})


def _lettered(letters: int, rows: int) -> str:
    return f"{letters} letter-like shapes in {rows} {'row' if rows == 1 else 'rows'}"


# At 18 letters 87 % of what is flagged in photos5_noisy is much text, and 67 % of much text is flagged; what else there
# is are bricks, books, leaves. At 0.09, 1 % of photographs without a mark repeat as much.
TEXT = Rule(
    "text", "text or watermark", 1, Kind.CONTENT, False, {"threshold": 0.5, "letters": 18, "repetition": 0.09}, text
)
