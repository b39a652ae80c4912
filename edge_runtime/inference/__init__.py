"""From a request's bytes to a model's run, and back."""
