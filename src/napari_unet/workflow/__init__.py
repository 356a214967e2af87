"""What a person can ask for, without a window: a folder for each verb; no Keras at import."""
