#!/bin/sh
# Pillow opens a bitmap (BMP, version 5) with a colour profile in it without the profile, and takes its pixels for sRGB's.
#
# Versions: Pillow 13.0.0.
# Expected: info["icc_profile"], as of PNG, JPEG, TIFF and WebP.
# What happens: the pixels alone; saved as a PNG they look otherwise wherever profiles are followed.
# Who meets it: whoever converts bitmaps of Windows programs that work in Adobe RGB or in linear light.
# Seen here:
#   png: 588 bytes of profile
#   bmp: 0 bytes of profile
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
cat > "$folder/profile.py" <<'PYTHON'
import struct
import sys

from PIL import Image, ImageCms

folder, side = sys.argv[1], 16
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # any will do
Image.new("RGB", (side, side), (90, 120, 60)).save(f"{folder}/a.png", icc_profile=profile)
pixels = bytes((60, 120, 90)) * side * side
head = struct.pack("<IiiHHIIiiII16x", 124, side, side, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
head += b"DEBM" + bytes(48) + struct.pack("<4I", 4, 124 + len(pixels), len(profile), 0)  # PROFILE_EMBEDDED
body = head + pixels + profile
with open(f"{folder}/a.bmp", "wb") as file:
    file.write(b"BM" + struct.pack("<I4xI", 14 + len(body), 138) + body)
for kind in ("png", "bmp"):
    with Image.open(f"{folder}/a.{kind}") as image:
        assert image.convert("RGB").getpixel((3, 3)) == (90, 120, 60)
        print(f"{kind}: {len(image.info.get('icc_profile', b''))} bytes of profile")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/profile.py" "$folder")
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \(png\|bmp\): /\1: /p' "$0")" ] || { echo "something has changed"; exit 1; }
