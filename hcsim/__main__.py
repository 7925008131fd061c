"""`python -m hcsim`"""

from hcsim.cli import main

if __name__ == "__main__":
    main()
