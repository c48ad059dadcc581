"""What pyproject.toml cannot say: the C runtime as an extension, and the data a wheel carries."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Flashing needs the firmware sources and the demo needs the models, also without a checkout.
CARRIED = (
    *("firmware", "models", "platformio.ini"),
    *("CMakeLists.txt", "sdkconfig.defaults", "sdkconfig.defaults.esp32"),
    *("sdkconfig.defaults.esp32s3", "partitions.csv"),
)


class BuildWithData(build_py):
    """Copies CARRIED to ``shiftmcu/_data``; an editable install reads the checkout itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "shiftmcu" / "_data"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in CARRIED:
            if Path(name).is_dir():
                ignore = shutil.ignore_patterns("*.pyc", "__pycache__", ".pio")
                shutil.copytree(name, target / name, ignore=ignore)
            else:
                shutil.copy2(name, target / name)


setup(
    cffi_modules=["shiftmcu/_native_build.py:ffibuilder"],
    cmdclass={"build_py": BuildWithData},
)
