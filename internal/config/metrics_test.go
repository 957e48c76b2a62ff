package config

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestAFailedReloadLeavesTheTimeOfTheLastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics(prometheus.NewPedanticRegistry())
		start := float64(time.Now().Unix())
		is := func(when string, successful, at float64) {
			t.Helper()
			if s, a := testutil.ToFloat64(m.successful), testutil.ToFloat64(m.at); s != successful || a != at {
				t.Errorf("%s: %v at %v, want %v at %v", when, s, a, successful, at)
			}
		}
		is("at first", 1, start)
		time.Sleep(time.Minute)
		m.Loaded(errors.New("line 3"))
		is("after a failure", 0, start)
		time.Sleep(time.Minute)
		m.Loaded(nil)
		is("after that", 1, start+120)
	})
}
