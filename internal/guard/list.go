package guard

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
)

// Interfaces are those that have a guard, of whichever router. An error means that
// nftables cannot be used.
func Interfaces() ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	var list []string
	for _, t := range tables {
		if name, ok := strings.CutPrefix(t.Name, prefix); ok {
			list = append(list, name)
		}
	}
	return list, nil
}
