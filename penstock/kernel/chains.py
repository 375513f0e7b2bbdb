"""Pure: the text of the kernel table: its counters, sets, chains and every statement in them.

`penstock.kernel.render` puts the site's values where ``$NAME`` stands.  One packet's way through the chains, and what
was measured to make each statement as it is, is told in docs/concepts/kernel-path.md.

A statement that accepts a packet of a grant must always ask ``live`` or ``standing``; ``ct state established`` is
never a reason to let a packet through to an asset, because it would keep withdrawn sessions alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from penstock.model import (
    ENDED_BIT,
    FIRST_WORKER_MARK,
    GRANT_MASK,
    PROBE_MARK,
    PROXIED_BIT,
    SAFETY_BIT,
    STATION_BIT,
    TPROXY_BIT,
    UPSTREAM_BIT,
)

#: Dropped because nothing admits it; source or hardware address forged; packet of an ended grant or dead worker;
#: inspection not alive: let through, or reset; data of a worker that missed its heartbeat; one connection too many.
COUNTERS = ("refused", "forged", "cut", "failed_open", "failed_closed", "fenced", "crowded")

_SERVICE = "ipv4_addr . inet_proto . inet_service"
#: The same for a range of ports: the mark is its first port, which the static map ``ranges`` knows.
_RANGE = "ipv4_addr . inet_proto . mark"

#: Filled from the ruleset, and filled anew with every ruleset.
STATIC_SETS = {
    "assets": "map type ipv4_addr : ipv4_addr;",
    "mapped": f"map type {_SERVICE} : ipv4_addr . inet_service;",
    "shown": "set type ipv4_addr;",
    "underlay": "set type ipv4_addr;",
    "overlay": "set type ipv4_addr;",
    "inspect": f"set type {_SERVICE};",
    "safety": f"map type ipv4_addr . {_SERVICE} : mark;",
    "standing": "set type mark;",
    "standing_dials": f"set type {_SERVICE} . mark;",
    "ranges": f"map type {_SERVICE} : mark; flags interval;",
    "ranged_safety": f"map type ipv4_addr . {_RANGE} : mark;",
    "standing_ranged_dials": f"set type {_RANGE} . mark;",
    "safety_echoes": "map type ipv4_addr . ipv4_addr : mark;",
    "declared": "set type ipv4_addr;",
    "hardware": "set type ipv4_addr . ether_addr;",
    "behind": "set type ipv4_addr; flags interval;",
    "routed": "set type ipv4_addr . ether_addr; flags interval;",
    "slots": "map type ipv4_addr : mark;",
    "paces": "map type ipv4_addr : mark;",
}

#: Written over netlink while the gate runs (`noisy`, `taken` and `paced` by the kernel itself).  Never with
#: ``flags interval``: one change would clone the whole tree.  The most elements: 262,144 grants, 16 workers, 8,192
#: sources that are logged apart, 65,536 assets with limits.
DYNAMIC_SETS = {
    "grants": f"map type ipv4_addr . {_SERVICE} : mark; flags timeout; size 262144;",
    "live": "set type mark; flags timeout; size 262144;",
    "dials": f"set type {_SERVICE} . mark; flags timeout; size 262144;",
    "ranged": f"map type ipv4_addr . {_RANGE} : mark; flags timeout; size 262144;",
    "ranged_dials": f"set type {_RANGE} . mark; flags timeout; size 262144;",
    "echoes": "map type ipv4_addr . ipv4_addr : mark; flags timeout; size 262144;",
    "stations": "set type ipv4_addr . ether_addr . mark; flags timeout; size 262144;",
    "alive": "set type mark; flags dynamic,timeout; size 16;",
    "unattended": "set type mark; flags timeout; size 262144;",
    "noisy": "set type ipv4_addr; flags dynamic,timeout; timeout 1m; size 8192;",
    "taken": "set type ipv4_addr . mark; flags dynamic; size 65536;",
    "paced": "set type ipv4_addr . mark; flags dynamic,timeout; size 65536;",
}

#: Every chain, in the order of the file; a hook where the kernel starts it, nothing where another chain does.
CHAINS = {
    "raw_in": "type filter hook prerouting priority raw; policy accept;",
    "datagram": "",
    "delivered": "",
    "sender": "",
    "steer": "type filter hook prerouting priority mangle; policy accept;",
    "elsewhere": "",
    "origin": "",
    "admit": "",
    "admit_echo": "",
    "station": "",
    "moved": "",
    "inspected": "",
    "uninspected": "",
    "proxied": "",
    "to_asset": "type nat hook prerouting priority dstnat; policy accept;",
    "forward": "type filter hook forward priority filter; policy drop;",
    "copy": "",
    "room": "",
    "crowd": "",
    "from_gate": "type nat hook postrouting priority srcnat; policy accept;",
    "in": "type filter hook input priority filter; policy drop;",
    "from_leg": "",
    "from_leg6": "",
    "raw_out": "type filter hook output priority raw; policy accept;",
    "out": "type filter hook output priority filter; policy accept;",
    "to_leg6": "",
    "to_client": "",
    "answered": "",
    "upstream": "",
    "current": "",
    "dial": "",
    "fence": "",
    "refuse": "",
    "refuse_own": "",
    "tell": "",
}

#: The group that copies of packets are written to; the reader says how much of each it wants.
COPY_GROUP = 2

_MARKS = {
    "grant": f"{GRANT_MASK:#010x}",
    "judged": f"{GRANT_MASK | ENDED_BIT:#010x}",
    "proxied": f"{PROXIED_BIT:#010x}",
    "safety": f"{SAFETY_BIT:#010x}",
    "upstream": f"{UPSTREAM_BIT:#010x}",
    "tproxy": f"{TPROXY_BIT:#010x}",
    "probe": f"{PROBE_MARK:#010x}",
    "worker": f"{FIRST_WORKER_MARK:#010x}",
    "station": f"{STATION_BIT:#010x}",
    "carried": f"{GRANT_MASK | SAFETY_BIT:#010x}",
    "dialled": f"{GRANT_MASK | SAFETY_BIT | UPSTREAM_BIT:#010x}",
    "copy_group": str(COPY_GROUP),
}

_BODY = Template("""\
  chain raw_in {                       # before conntrack (-200), behind the reassembly of fragments (-400)
    $untracked
  }
  chain datagram {                     # to an inspected service: each one is judged as a first packet is
    meta mark set $worker
    meta mark != @alive meta mark set 0 return    # tracked, and the declared failure mode decides in `uninspected`
    meta mark set 0
    meta mark set ip saddr . ip daddr . meta l4proto . th dport map @safety
    meta mark 0 meta mark set ip saddr . ip daddr . meta l4proto . th dport map @grants
    meta mark 0 return                 # nobody's: refused in `admit` as every first packet is
    meta mark & $grant @unattended meta mark set 0 return
    meta mark & $grant != @live meta mark & $grant != @standing counter name cut drop
    # no entry that would outlive the worker, or keep datagrams that it no longer takes from the kernel path
    meta mark set meta mark | $tproxy notrack
  }
  chain steer {                        # after conntrack (-200), before DNAT (-100)
    iifname $leg ip saddr @declared ip saddr . ether saddr != @hardware goto moved
    $segments
    ip daddr != $overlay goto elsewhere
    meta nfproto != ipv4 goto elsewhere
    iifname != $leg goto refuse        # overlay addresses are reached over the leg and nowhere else
    $deliver
    ct mark & $station != 0 ct direction original jump station
    ct mark & $proxied != 0 goto proxied
    ct state established return        # kernel path: judged packet by packet in `forward`
    jump origin
    # an error of a flow: judged in `forward` as that flow is; a flow that a helper expects would inherit its mark
    ct state related meta l4proto icmp return
    ct state != new counter name cut drop
    jump admit
    ct mark & $station != 0 jump station
    ip daddr . meta l4proto . th dport @inspect goto inspected
  }
  chain delivered {                    # a datagram that `raw_in` has judged, on its way to the worker
    meta mark & $tproxy == 0 counter name cut drop    # untracked by somebody else
    jump origin
    meta mark & $station != 0 jump sender
    meta l4proto udp tproxy ip to 127.0.0.1:$proxy_port accept
    counter name failed_closed drop    # no listener
  }
  chain sender {                       # of a grant that is bound to a station, as in `station`
    meta mark set meta mark & $grant
    ip saddr . ether saddr . meta mark @stations meta mark set meta mark | $tproxy return
    meta mark set 0
    goto moved
  }
  chain elsewhere {                    # not for an overlay address: the gate's own, or what nobody may
    iifname != $leg return
    ct state established return
    meta l4proto ipv6-icmp return
    ct state related meta l4proto != icmp goto refuse    # no helper opens anything
    jump origin
  }
  chain origin {                       # who opens a flow must be able to have this address on this side of the gate
    ip saddr $overlay counter name forged goto refuse
    ip saddr != 0.0.0.0 fib saddr type { local, broadcast, multicast } counter name forged goto refuse
    fib saddr . iif oif missing counter name forged goto refuse
  }
  chain admit {                        # leaves the grant's number in ct mark, or drops
    meta l4proto icmp goto admit_echo
    ct mark set ip saddr . ip daddr . meta l4proto . th dport map @safety return
    $find_range
    $safety_range
    # everybody else opens with a SYN: no flow is picked up half-way into a later grant
    tcp flags & (fin | syn | rst | ack) != syn counter name cut drop
    ct mark set ip saddr . ip daddr . meta l4proto . th dport map @grants
    $grant_range
    $range_done
    ct mark & $grant == 0 goto refuse
  }
  chain admit_echo {                   # nothing of ICMP opens a flow but a request for an echo
    icmp type != echo-request goto refuse
    ct mark set ip saddr . ip daddr map @safety_echoes return
    ct mark set ip saddr . ip daddr map @echoes
    ct mark & $grant == 0 goto refuse
  }
  chain station {                      # a grant that is bound to a station: address and hardware address
    ct mark & $grant != @live return    # it has ended: judged as every flow is whose grant has
    meta mark set ct mark & $grant
    ip saddr . ether saddr . meta mark @stations meta mark set 0 return
    meta mark set 0
    goto moved
  }
  chain moved {                        # a packet of another machine than its address belongs to
    counter name forged
    meta pkttype != host counter name refused drop
    counter name refused
    update @noisy { ip saddr limit rate over 50/second burst 200 packets } drop
    limit rate 1000/second burst 2000 packets log group 1 prefix "station_changed" snaplen 96
    drop
  }
  chain inspected {                    # first packet of a flow whose payload is inspected
    ct mark & $grant @unattended goto uninspected
    meta mark set $worker
    meta l4proto tcp meta mark @alive meta mark set ct mark & $carried | $tproxy \
tproxy ip to 127.0.0.1:$proxy_port ct mark set ct mark | $proxied accept
    goto uninspected                   # no heartbeat, or no listener (tproxy breaks off)
  }
  chain uninspected {                  # the declared failure mode decides
    meta mark set 0
    ct mark & $safety != 0 counter name failed_open return
    counter name failed_closed
    meta l4proto tcp reject with tcp reset
    drop
  }
  chain proxied {                      # every later packet of a flow that the worker owns
    ct mark & $grant != @live ct mark & $grant != @standing counter name cut reject with tcp reset
    ct mark & $grant @unattended counter name cut reject with tcp reset
    meta mark set $worker
    meta l4proto tcp meta mark @alive meta mark set ct mark & $carried | $tproxy \
tproxy ip to 127.0.0.1:$proxy_port accept
    meta mark set 0
    counter name cut reject with tcp reset    # worker dead or hung: make the client dial anew
    # an error of a live flow, for the worker's socket: path MTU
    meta l4proto icmp ct mark & $grant @live meta mark set $tproxy accept
    meta l4proto icmp ct mark & $grant @standing meta mark set $tproxy accept
    counter name cut drop
  }
  chain to_asset {
    meta mark & $tproxy != 0 return    # the worker's listener must see the overlay address
    $to_port
    iifname $leg ip daddr $overlay ct mark & $grant != 0 dnat ip to ip daddr map @assets
  }
  chain forward {                      # every packet of every kernel path flow, both directions
    $room
    $copies
    ct mark & $judged @live ct status dnat accept    # a flow that is ended by itself has no number in there
    ct mark & $judged @standing ct status dnat accept
    iifname != $leg oifname != $leg accept    # not the plant's: the machine's own affair
    ct state invalid counter name cut drop
    meta l4proto tcp ct mark & $grant != 0 ct status dnat counter name cut reject with tcp reset
    goto refuse                        # no way between two machines but over the overlay
  }
  chain copy {                         # what passes, between the client's and the asset's own address
    ct mark & $judged != @live ct mark & $judged != @standing return
    meta mark set ct mark
    ct status dnat log group $copy_group queue-threshold 64
    meta mark set 0
  }
  chain room {                         # first packets to an asset's own address, of clients and of the worker alike
    $rooms
  }
  chain crowd {                        # one connection too many for this asset: told with its reason
    counter name crowded
    update @noisy { ip saddr limit rate over 50/second burst 200 packets } reject with tcp reset
    limit rate 1000/second burst 2000 packets log group 1 prefix "asset_full" snaplen 96
    reject with tcp reset
  }
  chain from_gate {
    $show
    oifname $leg ct mark & $grant != 0 ct status dnat snat ip to $address
  }
  chain in {
    meta mark & $tproxy != 0 accept                 # handed to the worker by `steer`
    iifname $leg goto from_leg
    tcp dport $proxy_port ip daddr 127.0.0.0/8 drop # its listener has no other visitors
    iifname lo accept
    accept                                          # other interfaces: the machine's own affair
  }
  chain from_leg {
    ip saddr @underlay ct mark & $upstream != 0 ct mark & $grant @live accept
    ip saddr @underlay ct mark & $upstream != 0 ct mark & $grant @standing accept
    meta nfproto ipv6 goto from_leg6
    ip daddr $overlay goto refuse                   # an asset's overlay address is no way to the gate's own ports
    meta l4proto { tcp, udp } th dport { $proxy_port, $beat_port } goto refuse
    $answer
    $answer_datagrams
    icmp type echo-request limit rate 20/second accept
    ip saddr @underlay meta l4proto tcp ct mark & $upstream != 0 counter name cut reject with tcp reset
    ct state established,related ip saddr != @underlay accept
    meta l4proto tcp tcp flags & (syn | ack) != syn counter name cut drop  # never reset an asset by accident
    goto refuse
  }
  chain from_leg6 {                    # the portal and the tunnel, and what it takes to be found; nothing is forwarded
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    $answer
    ct state related icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } accept
    counter name refused drop
  }
  chain raw_out {                      # probes that close ended flows are not tracked
    meta mark $probe notrack
    $answer_untracked
  }
  chain out {
    meta mark $probe accept
    $answered
    ct mark & $proxied != 0 goto to_client
    ct mark & $upstream != 0 goto upstream
    # The worker's heartbeat is a marked datagram to itself.  Latched: it refreshes only an element that is still
    # there.  A worker that missed its second stays out until it is armed anew, like a tripped safety relay.
    oifname lo udp dport $beat_port meta mark @alive update @alive { meta mark timeout 1s } drop
    oifname lo udp dport $beat_port drop
    oifname $leg meta nfproto ipv6 goto to_leg6
    ct direction reply accept
    ip daddr @underlay goto upstream
  }
  chain to_leg6 {
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report } accept
    meta l4proto tcp ct direction reply accept
    counter name refused drop
  }
  chain to_client {                    # what the worker answers ends with the grant as well
    ct mark & $grant @live accept
    ct mark & $grant @standing accept
    tcp flags & rst != 0 accept
    counter name cut reject with tcp reset
  }
  chain answered {                     # a worker's datagram to a client: an armed worker's, under a grant that is live
    meta mark set $worker
    meta mark != @alive counter name fenced drop
    meta mark set 0
    meta mark set ip daddr . ip saddr . meta l4proto . th sport map @safety
    meta mark 0 meta mark set ip daddr . ip saddr . meta l4proto . th sport map @grants
    meta mark & $grant @live accept
    meta mark & $grant @standing accept
    counter name cut drop
  }
  chain upstream {                     # the gate itself talks to an asset only inside a grant
    # a port that is used again soon finds the old entry: each datagram is judged by its own socket's grant
    ct state established meta l4proto udp meta mark & $upstream != 0 jump dial
    ct state established jump current  # nearly every packet ends there
    # closing is always allowed, data is not: RST, and a FIN without payload (20 or 32 byte TCP header), so that the
    # asset gets its connection slot back
    tcp flags & rst != 0 accept
    ct state established tcp flags & fin != 0 ip length 40 tcp doff 5 accept
    ct state established tcp flags & fin != 0 ip length 52 tcp doff 8 accept
    ct state new jump dial
    $own_room
    ct mark & $upstream != 0 jump fence
    ct mark & $grant @live accept
    ct mark & $grant @standing accept
    icmp type { destination-unreachable, time-exceeded } accept
    meta l4proto tcp ct mark & $upstream != 0 counter name cut reject with tcp reset
    goto refuse_own
  }
  chain current {                      # an armed worker's, under a grant that is live
    meta mark set $worker
    meta mark @alive ct mark & $grant @live accept
    meta mark @alive ct mark & $grant @standing accept
  }
  chain dial {                         # the mark says under which grant, `dials` says where that grant leads
    ct mark set meta mark & $dialled
    ct mark & $upstream == 0 goto refuse_own
    meta mark set meta mark & $grant
    meta mark @unattended goto refuse_own
    ip daddr . meta l4proto . th dport . meta mark @dials return
    ip daddr . meta l4proto . th dport . meta mark @standing_dials return
    $find_range
    $range_dials
    $standing_range_dials
    goto refuse_own
  }
  chain fence {                        # a worker that hung must not deliver stale commands when it wakes up
    meta mark set $worker
    meta mark @alive return
    counter name fenced
    meta l4proto tcp reject with tcp reset
    drop                               # datagrams: nobody waits for an answer to each
  }
  chain refuse {
    meta pkttype != host counter name refused drop  # broadcasts of the plant: counted, not told
    jump tell
    drop
  }
  chain refuse_own {                   # a process of the gate is told at once
    jump tell
    meta l4proto tcp reject with tcp reset
    drop
  }
  chain tell {                         # counted always, told to the enforcer at a bounded rate per source
    counter name refused
    update @noisy { ip saddr limit rate over 50/second burst 200 packets } return
    limit rate 1000/second burst 2000 packets log group 1 snaplen 96
  }
""")


def body(
    *,
    leg: str,
    address: str,
    overlay: str,
    proxy_port: int,
    beat_port: int,
    open_ports: tuple[int, ...],
    open_udp_ports: tuple[int, ...],
    optional: Mapping[str, str],
) -> str:
    """Every chain with its statements, for values that are checked already.

    `optional` are statements by their place (`penstock.kernel.optional`); empty ones leave no trace.
    """
    chosen = Template(_BODY.safe_substitute(optional))  # its statements name marks and the leg as the others do
    text = chosen.substitute(
        _MARKS,
        leg=f'"{leg}"',
        address=address,
        overlay=overlay,
        proxy_port=proxy_port,
        beat_port=beat_port,
        answer=_answer("tcp", open_ports),
        answer_datagrams=_answer("udp", open_udp_ports),
    )
    return "".join(line + "\n" for line in text.splitlines() if line.strip())


def _answer(transport: str, ports: tuple[int, ...]) -> str:
    listed = ", ".join(str(port) for port in sorted(set(ports)))
    return f"{transport} dport {{ {listed} }} accept" if ports else ""
