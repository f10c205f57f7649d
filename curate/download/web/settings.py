"""What a download may do: every limit in one place, with its unit."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from curate.foundation.errors import UsageError

if TYPE_CHECKING:
    from curate.images.decoding import Limits

ARCHIVE = "https://archive.org/wayback/available"  # the Internet Archive's availability API


@dataclass(frozen=True)
class Settings:
    """Raises UsageError for a setting that makes no sense."""

    connections: int = 64  # at once, over all hosts
    per_site: int = 4  # at once, to one site (its shards together)
    spacing: float = 0.1  # seconds between two requests to one site
    connect_timeout: float = 10.0  # seconds, name lookup and each address
    read_timeout: float = 15.0  # seconds without a byte
    deadline: float = 60.0  # seconds on the line for one link, all its attempts and redirects together
    attempts: int = 3  # of one link in one run
    max_redirects: int = 10
    max_bytes: int = 20_000_000  # of one file
    max_pixels: int = 64_000_000  # width x height, from the header, before anything is decoded
    min_side: int = 64  # pixels: shorter than that is no photograph
    allow_private: bool = False  # addresses that are not on the public internet
    ignore_noai: bool = False  # keep what its server marks with X-Robots-Tag: noai or noimageai
    contact: str = ""  # a mail address or a page, for the User-Agent
    archive: str = ""  # endpoint of an archive that is asked for links that are gone; "" asks none

    def __post_init__(self) -> None:
        for name in ("connections", "per_site", "attempts", "min_side", "max_bytes", "max_pixels"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("connect_timeout", "read_timeout", "deadline"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be a positive number of seconds, not {getattr(self, name)}")
        for name in ("spacing", "max_redirects"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must not be negative, not {getattr(self, name)}")
        if not self.contact.isprintable() or not self.contact.isascii() or set(self.contact) & set("()"):
            raise UsageError(f"contact must be plain text without parentheses, not {self.contact!r}")
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
