"""The two-alternative study: which of two pictures is recoloured?

The protocol is that of Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016), with their controls.
"""
