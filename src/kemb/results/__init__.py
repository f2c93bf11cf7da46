"""What a run leaves on disk: one record and one table of items per task; published numbers as
claims.
"""
