"""The prediction function: its flow, and the pure rules of a proxy."""
