"""`python -m vcemo_lib ...` is `vcemo ...`."""

from vcemo_lib.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
