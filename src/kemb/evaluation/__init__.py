"""Tasks x models -> results: the main flow, what is recorded beside a score, and the check of a
record.
"""
