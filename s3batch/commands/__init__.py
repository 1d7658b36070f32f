"""One command a file: `HELP`, `EPILOG`, `setup(parser)` and `run(args, app)`."""
