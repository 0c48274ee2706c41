"""One file for each benchmark; each has `run(result, quick)`."""
