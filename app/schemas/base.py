"""What the models of the public contract have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """An answer that holds what it declares and nothing else."""

    model_config = ConfigDict(extra="forbid")
