"""Objects of volumes as tables and meshes."""
