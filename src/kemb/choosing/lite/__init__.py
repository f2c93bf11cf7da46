"""Lite versions of large retrieval tasks: how they are version, and what their scores are worth."""

from kemb.choosing.lite.measure import LiteSettings, LiteVersion, make

__all__ = ["LiteSettings", "LiteVersion", "make"]
