"""What spectra of a scene have in common: statistics, and the basis made of them."""
