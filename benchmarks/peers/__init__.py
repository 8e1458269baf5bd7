"""Those who compute the same thing, each in a process of its own."""
