package config

import (
	"strings"
	"testing"
)

func TestSettingsThatNeedARestart(t *testing.T) {
	const base = "networks: [{cidr: 127.5.0.0/16}]\n"
	for _, c := range []struct{ was, is, want string }{
		{"", "", ""},
		{"", "data_dir: other\n", "data_dir"},
		{"", "inventory: {file: ''}\n", "inventory.file"},
		{"", "discovery: {listen: true}\n", "discovery.listen"},
		{"", "scrape: {openmetrics_created: true}\n", "scrape.openmetrics_created"},
		{"", "collectors: {chips: true}\n", "collectors.chips: false became true"},
		{"collectors: {boards: false}\n", "", "collectors.boards: false became true"},
		{"", "firmware: {path: /srv/firmware, allowed_hosts: [], auto_upgrade: true}\n", ""},
		{"collectors: {firmware: false}\n", "collectors: {firmware: false}\nfirmware: {auto_upgrade: true, allowed_hosts: []}\n", ""},
		{"collectors: {firmware: false}\n", "collectors: {firmware: false}\nfirmware: {auto_upgrade: true}\n", "ask their vendors"},
	} {
		err := mustParse(t, base+c.was).Unchangeable(mustParse(t, base+c.is))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q to %q: %v", c.was, c.is, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "takes a restart")):
			t.Errorf("%q to %q: %v, want %s", c.was, c.is, err, c.want)
		}
	}
}
