# What every scenario has at hand.

# load MODULE: the module and what it needs; the kernel itself never loads one here.
load() {
  local file name
  while read -r file; do
    name=${file%.ko}
    [[ -d /sys/module/${name//-/_} ]] || insmod "/modules/$file"
  done <"/modules/$1.order"
}

# device NAME: a WireGuard device as /conf/NAME.conf says.
device() {
  ip link add "$1" type wireguard
  wg setconf "$1" "/conf/$1.conf"
}

# once FOLDER [COMMAND...]: what `wgvitals once` says, run through COMMAND where one is given; in $format, with $config.
once() {
  local folder=/out/$1 status=0
  shift
  mkdir -p "$folder"
  "$@" wgvitals once --format "${format:-json}" ${config:+--config "$config"} \
    >"$folder/out" 2>"$folder/stderr" || status=$?
  echo "$status" >"$folder/status"
}

# capture FOLDER: the same, with what wg says before and after it.
capture() {
  mkdir -p "/out/$1"
  wg show all dump >"/out/$1/before"
  once "$1"
  wg show all dump >"/out/$1/after"
}

# execd_start NAME [COMMAND...]: wgvitals-execd with /NAME.toml; a line to descriptor $trigger asks it for a gather.
execd_start() {
  local name=$1
  shift
  mkfifo "/run/$name"
  : >"/out/$name.out"
  "$@" wgvitals-execd -config "/$name.toml" -poll_interval_disabled \
    <"/run/$name" >"/out/$name.out" 2>"/out/$name.err" &
  execd=$! answers=/out/$name.out
  exec {trigger}>"/run/$name"
}

# gathers COUNT PAUSE: asks COUNT times.
gathers() {
  for ((n = 0; n < $1; n++)); do
    echo >&"$trigger"
    sleep "$2"
  done
}

# gather FILE: asks once and waits for the answer, which is left in /out/FILE.
gather() {
  local before n
  before=$(stat -c %s "$answers")
  echo >&"$trigger"
  for ((n = 0; n < 200; n++)); do
    tail -c "+$((before + 1))" "$answers" >"/out/$1"
    if grep -q '^wgvitals,collector=engine version' "/out/$1"; then return; fi
    sleep 0.05
  done
  echo "no answer for $1" >&2
  return 1
}

# execd_stop NAME: end of input, which ends it.
execd_stop() {
  local status=0
  exec {trigger}>&-
  wait "$execd" || status=$?
  echo "$status" >"/out/$1.status"
}
