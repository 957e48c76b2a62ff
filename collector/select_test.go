package collector

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestAScrapeGetsTheCollectorsThatItSelects(t *testing.T) {
	const program, health, boards, pools = "mother_dragons", "dragon_up", "dragon_board_up", "dragon_pool_info"
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		for query, want := range map[string][]string{
			"":                                    {program, health, boards, pools},
			"collect[]=program":                   {program},
			"exclude[]=dragons":                   {program},
			"collect[]=dragons":                   {health, boards, pools},
			"exclude[]=program":                   {health, boards, pools},
			"collect[]=boards":                    {health, boards},
			"exclude[]=boards":                    {program, health, pools},
			"exclude%5B%5D=boards&x=y":            {program, health, pools},
			"collect[]=boards&collect[]=program":  {program, health, boards},
			"exclude[]=boards&exclude[]=program":  {health, pools},
			"exclude[]=program&exclude[]=dragons": nil,
		} {
			f.dragons.Dragon(0).ForgetTraffic()
			w := get(t.Context(), f.Metrics(), "/metrics?"+query)
			if w.Code != 200 {
				t.Errorf("%s: %d %s", query, w.Code, w.Body)
			}
			for _, name := range []string{program, health, boards, pools} {
				if there := strings.Contains("\n"+w.Body.String(), "\n"+name+"{"); there != slices.Contains(want, name) {
					t.Errorf("%s: %s is there: %t", query, name, there)
				}
			}
			if read := len(f.dragons.Dragon(0).Traffic().Requests) > 0; read != slices.Contains(want, health) {
				t.Errorf("%s: the dragon was read: %t", query, read)
			}
		}
		for _, query := range []string{"collect[]=chips", "exclude[]=chips", "collect[]=", "collect[]=nothing", "collect[]=boards&exclude[]=pools"} {
			if w := get(t.Context(), f.Metrics(), "/metrics?"+query); w.Code != 400 {
				t.Errorf("%s: %d, want 400: what is misspelt must not pass for empty", query, w.Code)
			}
		}
	})
}
