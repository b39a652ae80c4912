"""A stand-in for Vertex AI: models, endpoints and online prediction over REST."""
