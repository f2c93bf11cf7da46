"""Tables and metadata out of documents as they are found: READMEs, model cards, scraped pages."""

from kemb.documents.read import Document, read_document
from kemb.documents.tables import Cell, Table

__all__ = ["Cell", "Document", "Table", "read_document"]
