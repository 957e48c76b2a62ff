package web

import (
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

func TestFiguresAreWrittenForPeople(t *testing.T) {
	unknownNumber := dragon.Number{}
	for got, want := range map[string]string{
		rate(dragon.Known(14.7e12), "SHA-256"): "14.7 TH/s", rate(dragon.Known(999.96e9), "SHA-256"): "1.00 TH/s", rate(dragon.Known(50312), "Equihash"): "50.3 kSol/s",
		rate(dragon.Known(0), ""): "0 H/s", rate(unknownNumber, ""): "–", rate(dragon.Known(1.6e14), ""): "160 TH/s",
		countOf(dragon.Known(1234567)): "1 234 567", countOf(dragon.Known(999)): "999", countOf(unknownNumber): "–", countOf(dragon.Known(-1000)): "-1 000",
		bytesOf(dragon.Known(245 << 20)): "245 MiB", spanOf(dragon.Known(119)): "119 s", spanOf(dragon.Known(7100)): "118 min", spanOf(dragon.Known(3 * 86400)): "3 d", spanOf(unknownNumber): "–",
		offset(dragon.Known(-18000)): "5 h behind", offset(dragon.Known(1)): "in sync", offset(unknownNumber): "–",
		share(3, 4): "75.0", share(9, 4): "100.0", share(1, 0): "0", share(unknownNumber, dragon.Known(5)): "0",
		cut(4, "dragon"): "dra…", cut(6, "dragon"): "dragon", figure(unknownNumber, "%.0f", 1): "–",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, a := range map[string]healer.Audit{
		"blocked: reboot":                  {Decision: healer.Blocked, Action: healer.Reboot},
		"sent: miner process restart":      {Decision: healer.Act, Action: healer.Restart, Result: &healer.Sending{Success: true}},
		"not executed: reboot":             {Decision: healer.Act, Action: healer.Reboot, Result: &healer.Sending{Error: "refused"}},
		"sent, answer lost: reboot":        {Decision: healer.Act, Action: healer.Reboot, Result: &healer.Sending{Result: healer.Unknown, Error: "EOF"}},
		"no effect: miner process restart": {Decision: "no_effect", Action: healer.Restart, Verify: &healer.Verified{}},
		"state changed":                    {Decision: healer.Changed},
		"something new":                    {Decision: "something_new"},
	} {
		if got := happened(&a); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, s := range map[string]agent.Status{
		"Another process owns the healer's state. This one only observes.":                     {Standby: true},
		"The healer's state is not open here. This one only observes: etcd: deadline exceeded": {Error: "etcd: deadline exceeded"},
		"The healer's state cannot be written. Nothing is sent until it can.":                  {Owner: true},
	} {
		s.Plan = &healer.Plan{}
		if got := alerts(&s); len(got) != 1 || got[0].Says != want {
			t.Errorf("%v, want %q", got, want)
		}
	}
	for _, s := range healer.States {
		if meanings[s] == "" {
			t.Errorf("nobody says what %s means", s)
		}
		if _, known := urgency[s]; !known {
			t.Errorf("%s has no place in the order", s)
		}
	}
}
