"""`python -m sentiloc`: the same as the `sentiloc` command."""

from sentiloc.cli.main import main

if __name__ == "__main__":
    main()
