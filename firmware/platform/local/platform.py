"""PlatformIO development platform of this project: the compiler is the one on PATH."""

from platformio.public import PlatformBase


class ShiftmculocalPlatform(PlatformBase):
    """No packages, no frameworks; the boards are those of firmware/boards."""

    def is_embedded(self):
        return True
