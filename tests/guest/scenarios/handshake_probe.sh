# Handshakes with servers of the kernel's in each condition: the live bed's own script, with its programs.
ln -s fd/0 /dev/stdin
for module in veth wireguard nft_chain_nat nft_masq nft_reject_ipv4; do load "$module"; done
WGVITALS_BIN=/bin $(</command) /out/found.json
