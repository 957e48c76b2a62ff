package dragontest

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func TestTheUpdaterIsWatched(t *testing.T) {
	const version = "t1_20181101_130000"
	for outcome, want := range map[Outcome]string{Good: "RUN", SignatureFail: "FAILURE"} {
		t.Run(string(outcome), func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) {
				transport := b.http.Transport.(*http.Transport)
				c := dragon.New(b.dragons.Addr(0), dragon.Options{Transport: transport})
				var said []dragon.UpgradeProgress
				ended := make(chan error)
				go func() {
					ended <- c.WatchUpgrade(b.t.Context(), func(p dragon.UpgradeProgress) bool {
						said = append(said, p)
						return !p.Over()
					})
				}()
				synctest.Wait()
				image := Image{Version: version, Outcome: outcome}
				if err := c.UpgradeUpload(b.t.Context(), image.Name(), image.Open(), int64(len(image.Bytes())), nil); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); outcome == Good && took < time.Minute {
					t.Errorf("over after %s, and flashing takes two minutes", took)
				}
				at := slices.IndexFunc(said, func(p dragon.UpgradeProgress) bool { return p.Status == want })
				if said[0].Status != "IDLE" || at < 0 {
					t.Fatalf("it said %+v", said)
				}
				if last := said[len(said)-1]; outcome == Good && (last.Share.Or(0) < 0.9 || last.Name == "" || last.Steps != dragon.Known(1)) {
					t.Errorf("at last it said %+v", last)
				}
				if tr := b.Traffic(); tr.MaxInFlight != 1 || tr.Requests["upgrade/ws"] != 1 {
					t.Errorf("%d in flight, watched %d times", tr.MaxInFlight, tr.Requests["upgrade/ws"])
				}
			})
		})
	}
}

func TestWhoWatchesNoUpgradeIsLetGo(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		c := dragon.New(b.dragons.Addr(0), dragon.Options{Transport: b.http.Transport})
		n := 0
		if err := c.WatchUpgrade(b.t.Context(), func(dragon.UpgradeProgress) bool { n++; return false }); err != nil || n != 1 {
			t.Errorf("%d frames, %v", n, err)
		}
		go func() {
			time.Sleep(time.Minute)
			b.Reboot()
		}()
		if err := c.WatchUpgrade(b.t.Context(), func(dragon.UpgradeProgress) bool { return true }); err != nil {
			t.Errorf("a reboot ends it: %v", err)
		}
	})
}
