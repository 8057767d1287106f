"""Scene -> sidecar: a survey, the search for the codec that meets the target, and encoding."""
