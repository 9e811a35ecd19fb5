"""Models of behaviour, fitted per person: the latents that a trial's choice went by."""
