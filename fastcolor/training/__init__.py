"""Training generators and discriminators: presets, the loop, and all that it keeps."""
