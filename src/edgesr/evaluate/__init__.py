"""Measuring restored pictures: metrics, the systems compared, the report."""
