"""Best records to something that runs: build a model with its schedules, save it, load it, check it."""
