import proto  # noqa: F401  (cosmos.* importable, also for `python -m tests.pallets.vectors`)
