"""Other tuners' strategies on recorded spaces, each as its own project would run it."""
