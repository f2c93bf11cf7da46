"""Tables and metadata out of documents as they are found: READMEs, model cards, scraped pages."""

from kemb.adapters.documents import Document, read_document
from kemb.adapters.tables import Cell, Table

__all__ = ["Cell", "Document", "Table", "read_document"]
