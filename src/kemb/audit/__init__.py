"""Checks on published tables and cards: what is wrong, by which evidence, with which consequence."""

from kemb.audit.findings import Finding
from kemb.audit.run import Audit, audit

__all__ = ["Audit", "Finding", "audit"]
