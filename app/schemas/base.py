"""The base of the models of the public contract."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """An answer that has its declared fields and no others."""

    model_config = ConfigDict(extra="forbid")
