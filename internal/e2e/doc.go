// Package e2e holds the tests of the whole program: the real binary, in real
// network namespaces, with the kernel's own ping, TCP and UDP on either end.
//
// They run inside namespaces of their own (TestMain): they need root, or user
// namespaces and a /dev/net/tun that this user may open; they touch nothing of
// the host, and leave nothing behind even when they are killed.
package e2e
