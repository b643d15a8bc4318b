"""The command line, `icp`: a file a family of commands, each command beside the text it prints.

Everything heavy is imported inside the command that needs it, so that `icp --help` answers at once.
"""

from icploop.cli.main import main

__all__ = ["main"]
