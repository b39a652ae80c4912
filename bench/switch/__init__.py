"""What a switch costs those who ask meanwhile, and what it leaves behind."""
