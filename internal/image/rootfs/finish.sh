# Leaves in /image only what is the same on every run. $DB is rpm's database.
[ ! -e "$DB" ] || python3 - "$DB" <<'PYTHON'
# Journalled by rpm while it wrote; without the journal it can be read from a read-only file system.
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for step in ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE", "VACUUM"):
    db.execute(step).fetchall()
if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
    sys.exit("rpm's database is damaged")
db.close()
PYTHON
rm -f "$DB-wal" "$DB-shm" "${DB%/*}/.rpm.lock"

for dir in dev proc run sys tmp var/cache var/tmp; do
  [ ! -d "/image/$dir" ] || find "/image/$dir" -xdev -mindepth 1 ! -type d -delete
done
for dir in dev proc run sys tmp var/tmp; do
  [ ! -d "/image/$dir" ] || find "/image/$dir" -xdev -mindepth 1 -delete
done
[ ! -d /image/var/log ] || find /image/var/log -xdev -type f -delete
(cd /image && rm -f etc/.pwd.lock etc/*- root/.bash_history var/lib/systemd/random-seed)

# What systemd would do again after a change of /usr (ldconfig, users, the catalog) has been done.
[ ! -x /image/usr/lib/systemd/systemd ] || touch /image/etc/.updated /image/var/.updated

find /image -xdev \( -newermt "@$SOURCE_DATE_EPOCH" -o -type d \) -print0 |
  xargs -0r touch --no-dereference --date "@$SOURCE_DATE_EPOCH"
