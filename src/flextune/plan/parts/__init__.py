"""Models of which only parts are ours: what each node's values are, why it is not ours, and where to cut."""
