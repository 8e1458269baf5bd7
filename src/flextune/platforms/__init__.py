"""Hardware families, one folder each; `flextune.platforms.platform_registry.get(kind)` finds one."""
