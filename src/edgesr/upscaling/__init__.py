"""lr -> hr for a picture of any size: the upscaler, tiles, the noise field, the two forms of a model, and the engines. No torch."""
