"""Train several models and use them as one."""
