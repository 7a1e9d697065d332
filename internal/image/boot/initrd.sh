# Packs /image as an initrd (the kernel's "newc" cpio format) into the file $1. Owners, times and
# order are the tree's; device and inode numbers are not.
cd /image
find . -xdev -mindepth 1 -print0 | LC_ALL=C sort -z |
  cpio --null --create --format=newc --reproducible --quiet |
  zstd -q -T0 -10 -o "$1"
