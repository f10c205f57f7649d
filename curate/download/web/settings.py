"""What a download may do: every limit in one place, with its unit."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings

if TYPE_CHECKING:
    from curate.images.decoding import Limits

ARCHIVE = "https://archive.org/wayback/available"  # the Internet Archive's availability API


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def amount(text: str | int) -> int:
    """20000000 of "20M". Raises ValueError."""
    number, unit = str(text), ""
    if number[-1:] in _UNITS:
        number, unit = number[:-1], number[-1:]
    try:
        return round(float(number) * _UNITS[unit])
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a number such as 20000000 or 20M") from error


def _plain(text: str) -> str:
    if not text.isprintable() or not text.isascii() or set(text) & set("()"):
        raise ValueError("must be plain text without parentheses")
    return text


@settings
class Settings:
    """Raises UsageError for a setting that makes no sense."""

    connections: Annotated[int, option("Connections at once, over all sites.", ge=1)] = 64
    per_site: Annotated[int, option("Connections at once to one site (its shards together).", ge=1)] = 4
    spacing: Annotated[float, option("Seconds between two requests to one site.", ge=0)] = 0.1
    connect_timeout: Annotated[float, option("Seconds for a name lookup, and for each address.", gt=0)] = 10.0
    read_timeout: Annotated[float, option("Seconds without a byte, after which a link is given up.", gt=0)] = 15.0
    # Of its requests: attempts and redirects together, without the waiting between them.
    deadline: Annotated[float, option("Seconds for one link, all in all.", gt=0)] = 60.0
    attempts: Annotated[int, option("Attempts for one link in one run.", ge=1)] = 3
    max_redirects: Annotated[int, Field(ge=0)] = 10
    max_bytes: Annotated[
        int,
        BeforeValidator(amount),
        option("Bytes, above which a file is dropped.", ge=1, metavar="NUMBER"),
    ] = 20_000_000
    max_pixels: Annotated[  # width x height, from the header
        int,
        BeforeValidator(amount),
        option("Pixels, above which a picture is dropped undecoded.", ge=1, metavar="NUMBER"),
    ] = 64_000_000
    # Shorter than that is no photograph.
    min_side: Annotated[int, option("Pixels of the shorter side, below which a picture is dropped.", ge=1)] = 64
    allow_private: Annotated[bool, option("Also ask addresses that are not on the public internet.")] = False
    ignore_noai: Annotated[bool, option("Keep what its server marks with X-Robots-Tag: noai or noimageai.")] = False
    contact: Annotated[
        str, AfterValidator(_plain), option("Your mail address or page, for those whose servers you ask.")
    ] = ""
    archive: str = ""  # endpoint of an archive that is asked for links that are gone; "" asks none

    def __post_init__(self) -> None:
        if self.archive and not self.archive.startswith(("http://", "https://")):
            raise UsageError(f"the archive must be the address of an endpoint (http or https), not {self.archive!r}")
        _ = self.limits  # checks them

    @property
    def limits(self) -> "Limits":
        from curate.images.decoding import (
            Limits,  # the defaults of the command line are read where nothing heavy may be
        )

        return Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)

    @property
    def user_agent(self) -> str:
        """Honest: what asks, why, and whom to write to."""
        try:
            number = version("fewpose")
        except PackageNotFoundError:  # run from a checkout that was never installed
            number = "0"
        contact = f"; contact: {self.contact}" if self.contact else ""
        return f"fewpose/{number} (collects images for research; honours X-Robots-Tag: noai{contact})"
