"""A static leaderboard site: `views` turns boards into plain data, `pages` renders it, `build`
writes the files.
"""
