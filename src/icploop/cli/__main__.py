"""`python -m icploop.cli` is `icp`."""

from icploop.cli.main import main

if __name__ == "__main__":
    main()
