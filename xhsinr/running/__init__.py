"""Functions of tiles, run on many: threads, clusters, and the memory that they may take."""
