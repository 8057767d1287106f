"""Entropy coding: one range coder, runs, escapes and tables, each once."""
