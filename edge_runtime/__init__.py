"""The gateway, and the serving container on Vertex AI."""
