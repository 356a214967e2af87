"""U-Net Workbench: segment images with U-Nets, correct the masks, and trust the scores."""

__version__: str  # of the installation; a build takes it from git's tags
PROGRAM: str  # name and version, as files and reports show it

DISTRIBUTION = "napari-unet-workbench"
NOT_INSTALLED = "0.2.0.dev0"  # of a folder that is only on the path


def __getattr__(name: str) -> str:
    """Look the version up when it is wanted: importing the package loads nothing."""
    if name not in ("__version__", "PROGRAM"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(DISTRIBUTION)
    except PackageNotFoundError:
        found = NOT_INSTALLED
    globals().update(__version__=found, PROGRAM=f"{DISTRIBUTION} {found}")
    return str(globals()[name])
