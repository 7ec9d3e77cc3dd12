#!/bin/sh
# Little CMS joins a 16-bit gray profile's curve from a few straight lines unless it is told not to: shadows come out wrong.
#
# Versions: imagecodecs 2026.3.6 (its wheel brings Little CMS 2.18), numpy 2.3.5.
# Expected: linear gray of 16 bits converted to sRGB follows sRGB's curve to a step or two of 65535, as the same numbers in
#   an RGB profile do.
# What happens: up to a thirtieth of the whole range off, in the shadows, with the default flags; with
#   cmsFLAGS_NOOPTIMIZE (0x0100) exact.
# Who meets it: whoever converts scans with a linear gray profile, through any binding.
# Seen here:
#   gray, default flags: 2470 of 65535 off
#   gray, flags 0x0100: 1 of 65535 off
#   rgb, default flags: 1 of 65535 off
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check imagecodecs==2026.3.6 numpy==2.3.5
cat > "$folder/gray.py" <<'PYTHON'
import imagecodecs
import numpy as np

points = {"whitepoint": (0.3127, 0.3290, 1.0), "primaries": [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1]}
srgb = imagecodecs.cms_profile("srgb")
levels = np.linspace(0, 65535, 256).round().astype(np.uint16)[None]
light = levels[0] / 65535
wanted = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 65535
for kind, name, flags in (("gray", "default flags", None), ("gray", "flags 0x0100", 0x0100), ("rgb", "default flags", None)):
    profile = imagecodecs.cms_profile(kind, gamma=1.0, **(points if kind == "rgb" else {}))
    samples = levels if kind == "gray" else np.ascontiguousarray(np.dstack([levels] * 3))
    made = imagecodecs.cms_transform(
        samples, profile, srgb, colorspace=kind, outcolorspace="rgb", outdtype="uint16", flags=flags
    )
    print(f"{kind}, {name}: {np.abs(made[0, :, 1] - wanted).max():.0f} of 65535 off")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/gray.py")
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \(gray\|rgb\), /\1, /p' "$0")" ] || { echo "something has changed"; exit 1; }
