"""`python -m polymodal.cli`."""

from polymodal.cli.app import main

if __name__ == "__main__":
    main()
