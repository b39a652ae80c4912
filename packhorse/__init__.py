"""What the cloud and the gateways must agree on, byte for byte."""
