package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// stateOf writes the desired state of a dragon, with its passwords.
func stateOf(c *Config, i healer.Device) string {
	w := c.Desired.Of(i)
	if w == nil {
		return "nothing"
	}
	var words []string
	for _, p := range w.Pools {
		words = append(words, fmt.Sprintf("%s/%s@%s", p.User, string(p.Password), strings.TrimPrefix(p.URL, "stratum+tcp://")))
	}
	if w.Mode != "" {
		words = append(words, w.Mode)
	}
	if l, ok := w.Level.Get(); ok {
		words = append(words, fmt.Sprintf("level %g", l))
	}
	if w.Firmware != "" {
		words = append(words, w.Firmware)
	}
	if w.Priority != 0 {
		words = append(words, fmt.Sprintf("priority %d", w.Priority))
	}
	return strings.Join(words, " ")
}

const twoSets = `--pools=[
	{"mac_addresses": [], "pools": [{"id": 1, "url": "stratum+tcp://b.net:1", "username": "acct", "password": "x"}, {"id": 0, "url": "stratum+tcp://a.net:1", "username": "acct", "password": "secret"}]},
	{"mac_addresses": ["A0-B0-45-00-AD-E5"], "pools": [{"id": 0, "url": "stratum+tcp://own.net:1", "username": "own", "password": "x"}]}]`

func TestFlagsSetTheDesiredState(t *testing.T) {
	c, err := parse("--network=127.1.0.0/24", twoSets, "--dragon-autotune-mode=balanced")
	if err != nil {
		t.Fatal(err)
	}
	for mac, want := range map[string]string{
		"a0:b0:45:00:11:02": "acct.dragon-45001102/secret@a.net:1 acct.dragon-45001102/x@b.net:1 balanced",
		"a0:b0:45:00:ad:e5": "own.dragon-4500ade5/x@own.net:1 balanced",
	} {
		if got := stateOf(c, healer.Device{MAC: mac}); got != want {
			t.Errorf("%s has the desired state %s, want %s", mac, got, want)
		}
	}
	a, b := c.Desired.Of(healer.Device{MAC: "a0:b0:45:00:11:02"}), c.Desired.Of(healer.Device{MAC: "a0:b0:45:00:11:03"})
	if own := c.Desired.Of(healer.Device{MAC: "a0:b0:45:00:ad:e5"}); a.Key != b.Key || a.Key == own.Key {
		t.Error("the key does not identify the desired state")
	}
	if got := stateOf(c, healer.Device{MAC: "a0:b0:45:00:11:02", Conflict: true}); got != "nothing" {
		t.Errorf("one of two dragons with the same MAC has a desired state: %s", got)
	}
	if none, err := parse("--network=127.1.0.0/24"); err != nil || stateOf(none, healer.Device{MAC: "a0:b0:45:00:11:02"}) != "nothing" {
		t.Errorf("there is a desired state without any setting, or %v", err)
	}
	// Another password is another desired state.
	other, err := parse("--network=127.1.0.0/24", strings.Replace(twoSets, "secret", "secret2", 1), "--dragon-autotune-mode=balanced")
	if err != nil || other.Desired.Of(healer.Device{MAC: "a0:b0:45:00:11:02"}).Key == a.Key {
		t.Errorf("another password is the same desired state, or %v", err)
	}
}

// The most specific wins, field by field, and the file where neither is.
func TestProfilesSetTheDesiredState(t *testing.T) {
	c := mustParse(t, `
networks:
  - {cidr: 127.5.0.0/16}
  - {cidr: 127.5.7.0/24, site: hall-a}
profiles:
  - name: everyone
    match: {all: true}
    wish: {pools: [{url: "stratum+tcp://file.net:1", username: f, password: x}], priority: 2}
  - name: hall
    match: {site: hall-a}
    wish: {worker_name: "{user}_{mac}_{ip}", autotune: {mode: efficient, level: 1}}
  - name: t2
    match: {model: T2T}
    wish: {autotune: {mode: performance}, firmware: t2t_20190102_030405, priority: 0}
  - name: unrelated
    match: {model: T1}
    healing: {boards: 3}
`, twoSets, "--dragon-autotune-mode=balanced")
	for _, x := range []struct {
		mac, model, ip, want string
	}{
		{"a0:b0:45:00:11:02", "T1", "127.5.1.1", "f.dragon-45001102/x@file.net:1 balanced priority 2"},
		{"a0:b0:45:00:11:02", "T2T", "127.5.1.1", "f.dragon-45001102/x@file.net:1 performance t2t_20190102_030405"},
		{"a0:b0:45:00:11:02", "T2T", "127.5.7.1", "f_a0b045001102_127.5.7.1/x@file.net:1 efficient level 1 t2t_20190102_030405"},
		{"a0:b0:45:00:ad:e5", "T1", "127.5.7.1", "own_a0b04500ade5_127.5.7.1/x@own.net:1 efficient level 1 priority 2"},
	} {
		i := healer.Device{MAC: x.mac, Model: x.model, IP: x.ip}
		if x.ip == "127.5.7.1" {
			i.Site = "hall-a"
		}
		if got := stateOf(c, i); got != x.want {
			t.Errorf("%s %s at %s has the desired state %s, want %s", x.mac, x.model, x.ip, got, x.want)
		}
	}
	if c.Healing.Policy().Desired == nil {
		t.Error("the policy has no desired states")
	}
	if data, err := os.ReadFile(c.File); err != nil {
		t.Error(err)
	} else if p, err := c.PolicyOf(data); err != nil || p.Desired == nil {
		t.Errorf("the policy of the same file has no desired states: %v", err)
	} else if i := (healer.Device{MAC: "a0:b0:45:00:ad:e5", Model: "T2T", IP: "127.5.7.1", Site: "hall-a"}); !reflect.DeepEqual(p.Desired(i), c.Desired.Of(i)) {
		t.Errorf("by the same file %+v, want %+v", p.Desired(i), c.Desired.Of(i))
	}
	if got := stateOf(c, healer.Device{MAC: "a0:b0:45:00:ad:e5", Site: "hall-a"}); got != "nothing" {
		t.Errorf("a dragon without an address has the desired state %s", got)
	}
}
