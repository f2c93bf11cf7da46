"""From documents without questions to a test set, and how far it can be trusted."""

from kemb.tasks.own.decisions import seen_share

__all__ = ["seen_share"]
