"""`edgesr serve`: the page that runs the model in the browser, and a small HTTP API that runs it here (ours)."""
