# Unpacks the archive from standard input into /image. The arguments are the directories that its
# files are in.
for dir in "$@"; do
  real=$(realpath --canonicalize-missing "/image$dir")
  case $real/ in
    /image/*) mkdir -p "$real" ;;
    *) echo "$dir leads out of the image, to $real" >&2; exit 1 ;;
  esac
done
tar --extract --directory /image --keep-directory-symlink --same-permissions --numeric-owner --unlink-first
