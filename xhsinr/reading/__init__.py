"""Sidecar -> samples: tiles, windows, coarse reads."""
