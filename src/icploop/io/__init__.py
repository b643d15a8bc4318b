"""All that touches disk, network or MLflow.

Importing this package switches off the usage telemetry of the libraries that have one, before any
of them is imported: a company's data stay with the company.
"""

import os

for _switch, _value in {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}.items():
    os.environ.setdefault(_switch, _value)
