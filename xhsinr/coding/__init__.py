"""Tile <-> bytes: the layers, what they share, and the codec that puts them together."""
