package config

import "testing"

func TestHashRatesHaveAUnit(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "0 H/s": 0, "14.7 TH/s": 14.7e12, "900GH/s": 900e9, "5 MH/s": 5e6, "7 kH/s": 7e3, "7 H/s": 7,
		"50 kSol/s": 50e3, "50 Sol/s": 50, "999999 PH/s": 999999e15,
	} {
		if got, err := ParseHashrate(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "14.7", "TH/s", "x TH/s", "-1 TH/s", "NaN TH/s", "Inf TH/s", "1000000 PH/s", "1e400 H/s", "1 ZH/s", "1 2 TH/s"} {
		if got, err := ParseHashrate(text); err == nil {
			t.Errorf("%q: taken as %v", text, got)
		}
	}
}
