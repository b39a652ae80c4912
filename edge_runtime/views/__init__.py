"""What the server tells of itself: status page, metrics, API document."""
