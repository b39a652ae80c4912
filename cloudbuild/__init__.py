"""What builds and deploys the project on Google Cloud; nothing of it runs there."""
