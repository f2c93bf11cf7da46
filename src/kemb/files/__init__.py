"""What lies on disk: files that appear whole, marks of the processes that write, and locks."""
