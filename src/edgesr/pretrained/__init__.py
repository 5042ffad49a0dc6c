"""Networks that others trained, read from their own files: teachers of textures, by spandrel or from ncnn's format."""
