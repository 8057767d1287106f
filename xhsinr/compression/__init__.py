"""Scene -> sidecar: two passes over the tiles, and the search that meets the target."""
