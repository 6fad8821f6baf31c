"""The one exception that a user is meant to see."""

from __future__ import annotations

import re

# Control characters but tab and line break, marks that turn the writing direction, and halves of surrogates.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """A text from outside (a file's name, say) with its control characters escaped, for a terminal."""
    return UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


class VcemoError(Exception):
    """A mistake that the user can mend, told in one line: what is wrong, where, and what to do."""

    def __init__(self, what: str, where: object = None, do: str | None = None) -> None:
        place = f" ({where})" if where is not None else ""
        super().__init__(printable(f"{what}{place}" + (f": {do}" if do else "")))
