"""Lite versions of large retrieval tasks: how they are drawn, and what their scores are worth."""

from kemb.choosing.lite.measure import LiteSettings, LiteVersion, make

__all__ = ["LiteSettings", "LiteVersion", "make"]
