"""`edgesr serve`: the web page, which runs the model in the browser, and an HTTP API, which runs it on the server."""
