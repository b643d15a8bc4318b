"""The use cases, free of Prefect: one function for the CLI, a flow, a test and a backtest."""
