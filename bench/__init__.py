"""What is measured, and how; nothing of the product imports this."""
