"""The values that flow between search, measurement and records."""
