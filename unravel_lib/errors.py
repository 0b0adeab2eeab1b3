"""What can go wrong, as exceptions whose text is one line that a musician can act on."""


class UnravelError(Exception):
    """Any failure that the user can fix. Its text states what, found, expected, remedy."""


class UsageError(UnravelError):
    """Flags that do not fit each other, the input or the machine.

    `detail` is printed below the line where it helps: a text with a mark under the wrong word.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class InputError(UnravelError):
    """A sound file, a latents file or a folder that cannot be used as it is."""


class ModelError(UnravelError):
    """A model file that cannot be loaded, trusted or run."""


class OutputError(UnravelError):
    """A result that cannot be written to the requested place."""
