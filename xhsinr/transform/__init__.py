"""Wavelets, in arithmetic that gives the same bits on every machine."""
