"""What people write, as they write it."""
