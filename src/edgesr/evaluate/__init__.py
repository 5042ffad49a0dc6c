"""Measure upscalers: metrics, the systems compared, the report."""
