"""``python -m ali.cli``: the command without its entry point."""

from ali.cli import main

main()
