"""`python -m polymodal`."""

from polymodal.cli.app import main

if __name__ == "__main__":
    main()
