# Sourced by the scenarios of the eBPF programs: a tunnel from the device `near`, here, to `far`, in a namespace of its
# own, as /conf/{near,far}.conf say, and the reader of the programs' counts.
load veth
load wireguard
ip netns add far
ip link add below type veth peer name under netns far
ip address add 10.0.0.1/24 dev below
ip -n far address add 10.0.0.2/24 dev under
ip link set below up
ip -n far link set under up
born=${born:-near} # its workqueues keep this name
ip link add "$born" type wireguard
[[ $born == near ]] || ip link set "$born" name near
wg setconf near /conf/near.conf
ip address add 10.97.0.1/24 dev near
ip link set near up
ip -n far link add far type wireguard
ip netns exec far wg setconf far /conf/far.conf
ip -n far address add 10.97.0.2/24 dev far
ip -n far link set far up

# threads NAME: to /out/NAME the CPU time of each kernel thread that may work for a device, in nanoseconds.
threads() {
  local pid name ns rest
  for pid in $(cat /proc/2/task/2/children); do
    read -r name <"/proc/$pid/comm" && read -r ns rest <"/proc/$pid/schedstat" || continue
    case $name in kworker/* | napi/*) echo "$pid $ns" ;; esac
  done 2>/dev/null >"/out/$1"
}

# until_answered WHAT COUNT: until the reader has said so many such lines.
until_answered() {
  local n
  for ((n = 0; n < 600; n++)); do
    if [[ $(grep -c -- "$1" "$answers") -ge $2 ]]; then return; fi
    sleep 0.05
  done
  echo "no answer" >&2
  return 1
}

# reader_start NAME: its answers go to /out/NAME.
reader_start() {
  answers=/out/$1 readings=0
  mkfifo "/run/$1"
  crypto_cpu_reader <"/run/$1" >"$answers" 2>&1 &
  reader=$!
  exec {trigger}>"/run/$1"
  until_answered '^attached$' 1
}

reading() {
  echo >&"$trigger"
  readings=$((readings + 1))
  until_answered '^\.$' "$readings"
}

# The end of its input detaches the programs; it fails where the reader does.
reader_end() {
  exec {trigger}>&-
  wait "$reader"
}
