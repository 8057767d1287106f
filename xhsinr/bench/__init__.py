"""``xhsinr bench``: all codecs on real scenes, from real bitstreams, as tables and curves."""
