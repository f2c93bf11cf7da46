"""A language model that answers on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chat_server import ChatEndpoint
from endpoint_server import serving


@pytest.fixture
def chat() -> Iterator[ChatEndpoint]:
    endpoint = ChatEndpoint()
    with serving(endpoint):
        yield endpoint
