"""What a fleet costs the bucket: thousands of gateways that poll and update."""
