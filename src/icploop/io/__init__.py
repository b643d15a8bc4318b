"""All that touches disk, network or MLflow.

Importing this package switches off the usage telemetry of the libraries that have one, before any
of them is imported: a company's data stay with the company. It also bounds how long MLflow tries to
reach a server that is not there, which by default is minutes.
"""

import os

for _setting, _value in {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}.items():
    os.environ.setdefault(_setting, _value)
