"""Great Expectations per language, and the gate across languages."""
