"""`python -m hcsim`, and the command `hcsim`: signals are minded before anything large is imported."""

from hcsim.util import stopping


def main() -> None:
    stopping.install()
    from hcsim.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
