// Package ethtool sets what an interface does with packets, as ethtool -K does: for
// tests that want an interface like those of other hosts.
package ethtool

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	nameLen     = 32 // ETH_GSTRING_LEN
	setFeatures = 4  // ETH_SS_FEATURES
)

// Set turns features of an interface in the calling thread's network namespace on or
// off, by the kernel's own names for them (rx-gro-list; ethtool -k shows them).
func Set(name string, on bool, features ...string) error {
	names, err := featureNames(name)
	if err != nil {
		return fmt.Errorf("features of %s: %w", name, err)
	}
	blocks := (len(names) + 31) / 32
	request := make([]byte, 8+8*blocks) // struct ethtool_sfeatures
	put := binary.NativeEndian.PutUint32
	put(request, unix.ETHTOOL_SFEATURES)
	put(request[4:], uint32(blocks))
	for _, f := range features {
		i := slices.Index(names, f)
		if i < 0 {
			return fmt.Errorf("%s: the kernel knows no feature %s", name, f)
		}
		for at, set := range []bool{true, on} { // which it is about, and how it is to be
			if b := request[8+8*(i/32)+4*at:]; set {
				put(b, binary.NativeEndian.Uint32(b)|1<<(i%32))
			}
		}
	}
	if err := ioctl(name, request); err != nil {
		return fmt.Errorf("%s: setting %v: %w", name, features, err)
	}
	return nil
}

// featureNames are the names of all features, in the order of their bits.
func featureNames(name string) ([]string, error) {
	info := make([]byte, 20) // struct ethtool_sset_info, for one set
	binary.NativeEndian.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(info[8:], 1<<setFeatures)
	if err := ioctl(name, info); err != nil {
		return nil, err
	}
	n := binary.NativeEndian.Uint32(info[16:])
	list := make([]byte, 12+nameLen*n) // struct ethtool_gstrings
	binary.NativeEndian.PutUint32(list, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(list[4:], setFeatures)
	binary.NativeEndian.PutUint32(list[8:], n)
	if err := ioctl(name, list); err != nil {
		return nil, err
	}
	var names []string
	for b := range slices.Chunk(list[12:], nameLen) {
		names = append(names, unix.ByteSliceToString(b))
	}
	return names, nil
}

// ioctl is SIOCETHTOOL: the answer is written over the request.
func ioctl(name string, request []byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr := struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&request[0])}
	copy(ifr.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); errno != 0 {
		return errno
	}
	return nil
}
