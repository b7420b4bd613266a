"""Where tables are printed."""

from rich.console import Console


class PipedConsole(Console):
    """A console that leaves it to the command to end when its reader has gone away, as after `| head`."""

    def on_broken_pipe(self) -> None:
        """Raise instead of exiting.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError
