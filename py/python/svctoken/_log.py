"""Log events as records of the logger ``svctoken``. Called by the native half, on whatever thread an event happens."""

from __future__ import annotations

import logging

_logger = logging.getLogger("svctoken")
# A program that configures no logging is not to be told so by us.
_logger.addHandler(logging.NullHandler())


def wanted_level() -> int:
    """The least level that is enabled."""
    return max(_logger.getEffectiveLevel(), _logger.manager.disable + 1)


def emit(level: int, name: str, message: str, fields: dict[str, str]) -> None:
    """One record, if its level is enabled."""
    if _logger.isEnabledFor(level):
        _logger.log(level, message, extra={"svctoken_event": name, "svctoken_fields": fields})
