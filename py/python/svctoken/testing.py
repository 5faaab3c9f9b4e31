"""For tests of programs that use svctoken."""

from __future__ import annotations

from . import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._options import Seconds

__all__ = ("advance_clock",)


def advance_clock(seconds: Seconds) -> None:
    """Moves svctoken's clock forward for this whole process, as if so many seconds had passed: tokens age, remembered
    failures end. Timeouts of calls in progress are not touched."""
    _native.advance_clock(seconds)
