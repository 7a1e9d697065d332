# Applies presets in /image, then enables $ENABLE and disables $DISABLE. Nothing is started.
if [ ! -x /image/usr/bin/systemctl ]; then
  [ -z "$ENABLE$DISABLE" ] || { echo "the image holds no systemctl: add systemd to os.packages.install" >&2; exit 1; }
  exit 0
fi
mkdir -p /image/proc /image/dev
mount --rbind /proc /image/proc
mount --rbind /dev /image/dev
systemctl() { SYSTEMD_OFFLINE=1 SYSTEMD_LOG_LEVEL=warning chroot /image /usr/bin/systemctl "$@"; }
systemctl preset-all
systemctl --global preset-all
[ -z "$ENABLE" ] || systemctl enable $ENABLE
[ -z "$DISABLE" ] || systemctl disable $DISABLE
