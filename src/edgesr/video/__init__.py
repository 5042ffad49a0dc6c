"""Upscale videos frame by frame, with PyAV (the extra `video`): reading, colour, encoding in segments, and copying all other streams."""
