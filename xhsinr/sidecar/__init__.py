"""The file of one compressed scene: its header and codec, written, opened and reported on."""
