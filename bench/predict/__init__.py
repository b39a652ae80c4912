"""The prediction function beside what people write, in front of one upstream."""
