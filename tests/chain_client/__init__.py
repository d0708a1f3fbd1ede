"""Tests of the chain client against a mock chain; `test_real_node.py` uses a real one."""
