"""`python -m kemb`: the command line."""

from kemb.cli import main

if __name__ == "__main__":
    main()
