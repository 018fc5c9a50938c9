"""Faults, tried on a small real project and counted: kills, corruptions, crowds, surroundings."""
