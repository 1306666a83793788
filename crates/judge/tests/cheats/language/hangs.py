"""Answers the first question, and then no more."""
import sys
import time
import honest

model = honest.Model()
model.begin()
sys.stdin.buffer.read(4)
honest.answer([model.row()])
time.sleep(60)
