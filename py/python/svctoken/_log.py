"""Log events as records of the logger ``svctoken``. Called by the native half, on whatever thread an event happens."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging

_NEVER = 255
_known: logging.Logger | None = None


def _logger() -> logging.Logger:
    global _known
    if _known is None:
        import logging

        _known = logging.getLogger("svctoken")
        # A program that configures no logging is not to be told so by us.
        _known.addHandler(logging.NullHandler())
    return _known


def wanted_level() -> int:
    """The least level that is enabled."""
    # Who has not imported it does not listen, and importing it takes longer than all of svctoken.
    if "logging" not in sys.modules:
        return _NEVER
    logger = _logger()
    return max(logger.getEffectiveLevel(), logger.manager.disable + 1)


def emit(level: int, name: str, message: str, fields: dict[str, str]) -> None:
    """One record, if its level is enabled."""
    logger = _logger()
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={"svctoken_event": name, "svctoken_fields": fields})
