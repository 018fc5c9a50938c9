"""Teachers: one module per kind, and the stage that teaches them."""
