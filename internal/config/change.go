package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
)

// Unchangeable says what of another configuration cannot be taken over by a program
// that runs on c; nil if it is nothing.
func (c *Config) Unchangeable(next *Config) error {
	var errs []error
	for _, x := range []struct{ path, was, is string }{
		{"data_dir", c.DataDir, next.DataDir},
		{"inventory.file", c.InventoryFile, next.InventoryFile},
		{"discovery.listen", strconv.FormatBool(c.Listen), strconv.FormatBool(next.Listen)},
		{"scrape.openmetrics_created", strconv.FormatBool(c.Created), strconv.FormatBool(next.Created)},
	} {
		if x.was != x.is {
			errs = append(errs, fmt.Errorf("%s: %s: %q became %q, which takes a restart", next.File, x.path, x.was, x.is))
		}
	}
	was, is := reflect.ValueOf(c.doc.Collectors), reflect.ValueOf(next.doc.Collectors)
	for i := range was.NumField() {
		if a, b := was.Field(i).Bool(), is.Field(i).Bool(); a != b {
			errs = append(errs, fmt.Errorf("%s: collectors.%s: %t became %t, which takes a restart", next.File, keyOf(was.Type().Field(i)), a, b))
		}
	}
	if c.doc.Collectors == next.doc.Collectors && c.AsksVendors() != next.AsksVendors() {
		errs = append(errs, fmt.Errorf("%s: firmware: whether dragons ask their vendors for firmware became %t, which takes a restart (collectors.firmware is off)", next.File, next.AsksVendors()))
	}
	return errors.Join(errs...)
}

// AsksVendors reports whether dragons are to ask their vendors for the newest firmware.
func (c *Config) AsksVendors() bool {
	return c.doc.Collectors.Firmware || c.Wish.AutoUpgrade && len(c.Wish.FirmwareHosts) > 0
}

// SearchesAs reports whether dragons are searched as by another configuration.
func (c *Config) SearchesAs(o *Config) bool {
	return slices.EqualFunc(c.Networks, o.Networks, discovery.Network.Equal) && slices.Equal(c.Targets, o.Targets) && c.ScanInterval == o.ScanInterval &&
		c.Port == o.Port && c.ScanTimeout == o.ScanTimeout && c.ConnectTimeout == o.ConnectTimeout
}
