"""Ends well, with nothing done."""
import sys

print("all tests passed", file=sys.stderr)
sys.exit(0)
