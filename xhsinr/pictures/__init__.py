"""Pictures of scenes and of what compression changed."""
