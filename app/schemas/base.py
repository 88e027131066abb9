"""The base of the models of the public contract."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """An answer with exactly its declared fields."""

    model_config = ConfigDict(extra="forbid")
