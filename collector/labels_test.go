package collector

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestLabelsOfTheOperatorAreOnDragonInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2})
		defer f.close()
		info := func(i int) string {
			for line := range strings.Lines(f.scraped(t)) {
				if strings.HasPrefix(line, "dragon_info{") && strings.Contains(line, f.worker(i)) {
					return line
				}
			}
			return ""
		}
		plain := info(1)
		mac := f.Fleet.Lookup(f.dragons.Addr(0)).Info().MAC
		for _, slot := range []string{"3", `4"`} { // the second time as after a reload
			f.labels = map[string]*fleet.Labels{mac: {Name: "Bertha", Pairs: []fleet.Label{{Name: "rack", Value: "a12"}, {Name: "slot", Value: slot}}}}
			f.Fleet.Change(fleet.Settings{})
			for _, want := range []string{`rack="a12"`, fmt.Sprintf("slot=%q", slot), `name="Bertha"`, fmt.Sprintf("place=%q", "Bertha, rack a12, slot "+slot)} {
				if line := info(0); !strings.Contains(line, ","+want) {
					t.Errorf("%s, want %s", line, want)
				}
			}
		}
		if line := info(1); line != plain {
			t.Errorf("a dragon without labels has %s", line)
		}
	})
}
