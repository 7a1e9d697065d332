# Makes a FAT32 file system at $OFFSET of $DISK. The arguments are triples: "d FOLDER ''" to make a
# folder, "f SOURCE PATH" to copy a file.
# Firmware counts clusters: with fewer than 65525 it takes the file system for FAT16 and sees nothing.
cluster=8
while ((cluster > 1 && SIZE / 512 / cluster < 70000)); do ((cluster /= 2)); done
# What it says about the size of the whole file is of interest only if it fails.
mkfs.fat --invariant -F 32 -s "$cluster" -i "$FSUUID" -n "$LABEL" --offset "$((OFFSET / 512))" "$DISK" "$((SIZE / 1024))" >/tmp/mkfs 2>&1 ||
  { cat /tmp/mkfs >&2; exit 1; }
export MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
at="$DISK@@$OFFSET"
while (($#)); do
  if [ "$1" = d ]; then
    mmd -i "$at" "::/$2"
  else
    # Copied first: mtools keeps the time stamp, and a tree's may be older than the image.
    cp --no-preserve=all "$2" /tmp/file
    touch --date "@$SOURCE_DATE_EPOCH" /tmp/file
    mcopy -m -i "$at" /tmp/file "::/$3"
  fi
  shift 3
done
