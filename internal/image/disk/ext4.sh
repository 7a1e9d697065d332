# Makes an ext4 file system at $OFFSET of $DISK from the tree at /image$FROM. The arguments are
# directories of the tree that stay empty: other file systems are mounted there.
#
# The tree goes through tar: that is sorted, and brings neither the host's labels (SELinux) nor the
# times of the tree's making.
leave=()
for dir in "$@"; do
  [ -d "/image$dir" ] || { echo "the image has no directory $dir to mount a file system at" >&2; exit 1; }
  leave+=(--exclude=".${dir#"${FROM%/}"}/*")
done
from=/image${FROM%/}
[ -n "$FROM" ] || { from=/empty; mkdir /empty; touch --date "@$SOURCE_DATE_EPOCH" /empty; }
# The file is all holes: nothing needs to be zeroed, now or by the kernel later.
tree_to_tar "$from" "${leave[@]}" | mke2fs -q -F -t ext4 -b 4096 -I 256 -m 1 -L "$LABEL" -U "$FSUUID" -d - \
  -E "offset=$OFFSET,hash_seed=$SEED,root_owner=0:0,assume_storage_prezeroed=1,lazy_itable_init=0,lazy_journal_init=0,nodiscard" \
  "$DISK" "$((SIZE / 1024))k"
