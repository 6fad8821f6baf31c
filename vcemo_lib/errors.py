"""The one exception a reader of the course is meant to see."""

from __future__ import annotations


class VcemoError(Exception):
    """A mistake that the user can mend, told in one line: what is wrong, where, and what to do.

    >>> print(VcemoError("no such clip", where="a.wav", do="check the path"))
    no such clip (a.wav): check the path
    """

    def __init__(self, what: str, where: object = None, do: str | None = None) -> None:
        place = f" ({where})" if where is not None else ""
        remedy = f": {do}" if do else ""
        super().__init__(f"{what}{place}{remedy}")
