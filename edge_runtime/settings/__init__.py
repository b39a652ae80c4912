"""What a person sets, read once."""
