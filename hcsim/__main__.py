"""`python -m hcsim`, and the command `hcsim`: signals are minded before anything large is imported, and what loads the
engine runs in a process of its own."""

import sys

from hcsim.util import own_process, stopping


def main() -> None:
    if own_process.wanted(sys.argv[1:]):
        own_process.run(sys.argv[1:])
    stopping.install()
    own_process.settle()
    from hcsim.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
