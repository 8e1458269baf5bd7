"""Tuning records at rest."""
