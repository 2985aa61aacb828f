"""The adapters behind control's ports, one folder a platform."""
