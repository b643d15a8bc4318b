"""Prefect and nothing else: each flow is a thin wrap of the pipeline of the same name."""
