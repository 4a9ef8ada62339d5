# The kernel's network lock (RTNL) is held for seconds, while execd is asked. A new private key makes the kernel compute
# a secret for each peer under that lock. (Deleting a large device takes longer, but not the lock.)
load wireguard
device large
device small
wg genkey >/run/key
execd_start lock

# ask NAME: what comes within gather_wait (1 s), with time for a slow machine.
ask() {
  local before
  before=$(stat -c %s /out/lock.out)
  echo >&"$trigger"
  sleep 1.7
  tail -c "+$((before + 1))" /out/lock.out >"/out/$1"
}

gathers 1 4 # the first one may wait longer
ask before
(
  wg set large private-key /run/key
  : >/run/released
) &
sleep 0.5
locked=0
while ask answer && [[ ! -e /run/released ]]; do
  mv /out/answer "/out/locked.$((locked += 1))"
done
echo "$locked" >/out/locked
wait $!
ask after.1
ask after.2
execd_stop lock
