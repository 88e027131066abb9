"""Drawn faces with known expressions: avatars, emoji, modelled heads and stylised photographs."""
