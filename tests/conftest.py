from hypothesis import HealthCheck, settings

# The same examples on every machine and in every run: a red test can be repeated by anyone.
settings.register_profile(
    "icploop",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("icploop")
