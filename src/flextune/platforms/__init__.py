"""Hardware families, one folder each; `flextune.platforms.registry.get(kind)` finds one."""
