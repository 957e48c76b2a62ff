package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Unchangeable says what of another configuration cannot be taken over by a program
// that runs on c; nil if it is nothing.
func (c *Config) Unchangeable(next *Config) error {
	var errs []error
	for _, x := range []struct{ path, was, is string }{
		{"data_dir", c.DataDir, next.DataDir},
		{"inventory.file", c.InventoryFile, next.InventoryFile},
		{"discovery.listen", strconv.FormatBool(c.Listen), strconv.FormatBool(next.Listen)},
	} {
		if x.was != x.is {
			errs = append(errs, fmt.Errorf("%s: %s: %q became %q, which takes a restart", next.File, x.path, x.was, x.is))
		}
	}
	return errors.Join(errs...)
}

// SearchesAs reports whether dragons are searched as by another configuration.
func (c *Config) SearchesAs(o *Config) bool {
	return slices.Equal(c.Networks, o.Networks) && slices.Equal(c.Targets, o.Targets) && c.ScanInterval == o.ScanInterval &&
		c.Port == o.Port && c.ScanTimeout == o.ScanTimeout && c.ConnectTimeout == o.ConnectTimeout
}
