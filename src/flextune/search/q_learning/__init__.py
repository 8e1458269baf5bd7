"""Deep Q-learning, for the strategies that learn what to do next."""
