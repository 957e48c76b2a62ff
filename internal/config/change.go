package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
)

// Unchangeable says what of another configuration takes a restart; nil if nothing does.
func (c *Config) Unchangeable(next *Config) error {
	var errs []error
	for _, row := range table() {
		if !row.restart {
			continue
		}
		if was, is := c.text(row.key), next.text(row.key); was != is {
			errs = append(errs, fmt.Errorf("%s: %s: %s became %s, which takes a restart", next.File, row.key, was, is))
		}
	}
	if reflect.DeepEqual(c.HA.Etcd, next.HA.Etcd) {
		if key := c.Coordinator.changed(&next.Coordinator); key != "" {
			errs = append(errs, fmt.Errorf("%s: ha.etcd.%s: the file has another content, which takes a restart", next.File, key))
		}
	}
	if c.Collectors == next.Collectors && c.AsksVendors() != next.AsksVendors() {
		errs = append(errs, fmt.Errorf("%s: firmware.auto_upgrade: whether dragons ask their vendors for firmware became %t, which takes a "+
			"restart (collectors.firmware is off)",
			next.File, next.AsksVendors()))
	}
	return errors.Join(errs...)
}

// changed is the key of a file that had another content; empty: none had.
func (c *Coordinator) changed(next *Coordinator) string {
	switch {
	case c.Password != next.Password:
		return "password_file"
	case c.TLS == nil || next.TLS == nil:
		return ""
	case !c.TLS.RootCAs.Equal(next.TLS.RootCAs):
		return "ca_file"
	}
	return ""
}

// text is the value of a key, a string in quotes.
func (c *Config) text(key string) string {
	v := fieldAt(reflect.ValueOf(&c.Settings).Elem(), key)
	switch v.Kind() {
	case reflect.Slice:
		return fmt.Sprint(v.Interface())
	case reflect.String:
		return strconv.Quote(v.String())
	}
	return show(key, v)
}

// AsksVendors reports whether dragons are to ask their vendors for the newest firmware.
func (c *Config) AsksVendors() bool {
	return c.Collectors.Firmware || c.Firmware.AutoUpgrade && len(c.Firmware.AllowedHosts) > 0
}

// Switches is the choice of collectors by name.
func (c *Collectors) Switches() map[string]bool {
	on := make(map[string]bool)
	for name, field := range fieldsOf(reflect.ValueOf(c).Elem()) {
		on[name] = field.Bool()
	}
	return on
}

// SearchesAs reports whether dragons are searched as by another configuration.
func (c *Config) SearchesAs(o *Config) bool {
	return slices.EqualFunc(c.Searched(), o.Searched(), discovery.Network.Equal) && slices.Equal(c.Exclude, o.Exclude) &&
		slices.Equal(c.Targets(), o.Targets()) && c.Discovery == o.Discovery
}
