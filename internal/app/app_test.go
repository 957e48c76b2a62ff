package app

import (
	"fmt"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestStatsdNamesOfWhatWasDone(t *testing.T) {
	for want, a := range map[string]healer.Action{
		"[rebooted]":                     {Kind: healer.Reboot},
		"[upgraded]":                     {Kind: healer.Upgrade},
		"[]":                             {Kind: healer.Restart},
		"[poolsChanged autotuneChanged]": {Kind: healer.Configure, Change: &healer.ConfigChange{ConfigStep: healer.ConfigStep{Items: []healer.Item{healer.ItemPools, healer.ItemAutotune}}}},
	} {
		if got := fmt.Sprint(statsdNames(&a)); got != want {
			t.Errorf("%s: %s, want %s", a.Kind, got, want)
		}
	}
}

// Without --dragon-auto-upgrade neither the fleet nor the healer is asked: there is none here.
func TestNoAutomaticUpgradeByDefault(t *testing.T) {
	(&upgrader{wanted: func() bool { return false }}).look(t.Context())
}
