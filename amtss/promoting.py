"""The gate to champion: its rules, and the moves of aliases that it allows."""
