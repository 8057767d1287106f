"""The file of one compressed scene: written, opened, checked, salvaged."""
