"""Picture files: read into pixels that are brought to sRGB, and written with all that came along."""
