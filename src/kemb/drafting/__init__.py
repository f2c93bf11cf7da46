"""From documents without questions to a test set, and how far it can be trusted."""

from kemb.drafting.folder import DraftReport
from kemb.drafting.llm import LlmSettings
from kemb.drafting.make import DraftSettings, draft
from kemb.tasks.own.decisions import seen_share

__all__ = ["DraftReport", "DraftSettings", "LlmSettings", "draft", "seen_share"]
