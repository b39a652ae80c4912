"""What the gateway believes, until when, and by which clock."""
