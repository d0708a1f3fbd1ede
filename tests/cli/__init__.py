"""Tests of the command line: flags, output, exit codes."""
