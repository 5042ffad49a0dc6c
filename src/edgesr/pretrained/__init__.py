"""Third-party networks: feature extractors, Stable Diffusion's networks, and teachers of texture from spandrel or ncnn files."""
