"""The smoke test of a deployment: a function that calls the API as clients do."""
