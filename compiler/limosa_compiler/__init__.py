"""A trained model in, a signed artifact out."""
