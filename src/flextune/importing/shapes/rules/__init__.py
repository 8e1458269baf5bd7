"""One small function per operator or family: from what is known of its inputs to what is known of its results."""
