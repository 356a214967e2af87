"""Images that are arrays in a folder or a larger file: OME-Zarr and HDF5."""
