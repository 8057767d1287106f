"""The base network: a modulated SIREN, its meta-learning, its file and where that is found."""
