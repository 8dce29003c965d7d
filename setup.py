"""The packages to install: all of ``tfsql/``, and the top-level folder ``operators/`` as ``tfsql.operators``,
and ``data/`` as ``tfsql.data``.

pyproject.toml can either find packages or map a folder to one, not both; all else is said there.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tfsql", "tfsql.*"]), "tfsql.operators", "tfsql.data"],
    package_dir={"tfsql.operators": "operators", "tfsql.data": "data"},
)
