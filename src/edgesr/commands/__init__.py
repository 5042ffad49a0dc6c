"""The verbs of the command line, one module each: `add` defines the arguments, `run` does it, returns the exit code."""
