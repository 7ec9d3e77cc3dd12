"""Builds fastcolor._C with CMake; everything else about the package stands in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class CMakeBuild(build_ext):
    """Runs CMake and leaves the module where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = Path(self.build_temp).resolve()
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            "cmake",
            str(Path(__file__).resolve().parent),
            "-G",
            "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}",
            f"-Dpybind11_DIR={self.pybind11_directory()}",
        ]
        # Named anew each time: in CMake's cache an earlier build left the path of pip's own, which is gone.
        if ninja := shutil.which("ninja"):
            configure.append(f"-DCMAKE_MAKE_PROGRAM={ninja}")
        subprocess.run(configure, cwd=build, check=True)
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
        subprocess.run(["cmake", "--build", ".", "--target", "_C", "-j", jobs], cwd=build, check=True)

    @staticmethod
    def pybind11_directory() -> str:
        import pybind11

        return pybind11.get_cmake_dir()


setup(ext_modules=[Extension("fastcolor._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
