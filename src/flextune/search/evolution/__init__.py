"""Populations: CGA, its variants, and the evolutionary baselines it is compared with."""
