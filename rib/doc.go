// Package rib holds the router's routes: from several sources, the best one
// for every prefix, and a snapshot for longest-prefix matching that the packet
// path reads without a lock.
//
// A [Table] is for those who write: workloads, the uplink's own subnets, the
// configuration, the kernel's routes. A [FIB] is for those who read: it never
// changes once it is published. Which route wins (RFC 1812 5.2.4.3, 5.2.4.4):
//
//  1. the longest prefix that contains the destination, whatever its source;
//  2. of equal prefixes, the more preferred [Source];
//  3. of equal sources, the lower metric.
//
// A table has both families, and treats them alike. Routes carry no type of service, so
// the rule "Weak TOS" of that section has nothing to choose from.
package rib
