# The kernel's network lock (RTNL) is held for seconds, while execd is asked. A new private key makes the kernel compute
# a secret for each peer under that lock. (Deleting a large device takes longer, but not the lock.)
load wireguard
device large
device small
wg genkey >/run/key
execd_start lock

# ask NAME: what is said, be it only that the gather is late.
ask() {
  local before
  before=$(stat -c %s /out/lock.out)
  : >"/out/$1"
  echo >&"$trigger"
  until grep -qE '^wgvitals,collector=engine (late|version)=' "/out/$1"; do
    sleep 0.1
    tail -c "+$((before + 1))" /out/lock.out >"/out/$1"
  done
}

gathers 1 4 # the first one may wait longer
ask before
(
  wg set large private-key /run/key
  : >/run/released
) &
locked=0
while ask answer && [[ ! -e /run/released ]]; do
  # At first wg may not hold it yet.
  if ((locked > 0)) || ! grep -q version= /out/answer; then mv /out/answer "/out/locked.$((locked += 1))"; fi
done
echo "$locked" >/out/locked
wait $!
ask after.1
ask after.2
execd_stop lock
