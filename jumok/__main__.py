"""`python -m jumok`, as torchrun needs it."""

from jumok.app.cli import main

if __name__ == "__main__":
    main()
