// Package peer boots a real Linux kernel with ipip.ko, sit.ko and ip6_tunnel.ko as the
// host at the other end of a tunnel, so that vrouter's IP-in-IP, of either family in
// either, is tried against an implementation that is not its own.
//
// Debian's package user-mode-linux has that kernel as a program. Boot runs it in a
// network namespace: its eth0 is a packet socket on an interface there. Its root
// file system is this machine's, read-only, and its init is the calling program
// again (Guest), so nothing else need be installed. Both speak net/rpc over a
// serial line of the guest, a socket pair here: Guest serves an Agent, which sets
// up the guest's network as Calico would, sends probes and moves data.
//
// That kernel, Linux 6.1, sets less vector state than a processor with AMX has, which
// the machine's kernel refuses: xstate.c stands between the two, on every processor.
//
// The kernel lives in a PID namespace of its own, so all its processes end with
// its first one, and that one ends with the thread that booted it.
//
//	go test -tags peer ./internal/peer
//
// The race detector's memory does not fit into the guest: this test has no -race.
package peer
