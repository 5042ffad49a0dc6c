"""Model files for runtimes: one module a format."""
