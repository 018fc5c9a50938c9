"""What people should look at: labels that are suspicious, and texts to label next."""
