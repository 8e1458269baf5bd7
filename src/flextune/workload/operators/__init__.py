"""One small file per operator family."""
