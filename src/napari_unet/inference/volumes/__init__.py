"""Volumes: blocks of them, and their objects in three dimensions."""
