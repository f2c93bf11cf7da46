"""What the boards looked like before, what changed since, and why: snapshots, their differences, a
feed of them.
"""
