package cmd

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func TestTheRunningInstanceIsTold(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{SleepTime: -1} }})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	dir := t.TempDir()
	address, _, _ := start(t, "--dragon="+dragons.Addr(0), "--dragon-health-reboot", "--dragon-health-check-interval=1", "--data-dir="+dir)
	mac := dragons.Dragon(0).Spec().MAC
	plan := func() (p web.PlanAnswer) {
		_, body := cmdtest.Get(t, "http://"+address+"/api/v1/plan")
		_ = json.Unmarshal([]byte(body), &p)
		return p
	}
	cmdtest.Eventually(t, "the healer and the inventory know the dragon", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, fleet.InventoryName))
		p := plan()
		return strings.Contains(string(data), mac) && p.Plan != nil && len(p.Dragons) == 1
	})
	out, errs, err := invoke(t, "dragon", "reboot", "--data-dir="+dir, "--yes", dragon.WorkerName(mac))
	if err != nil || errs != "" {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	if p := plan(); len(p.Pauses) != 1 || p.Pauses[0].Kind != healer.Maintained || p.Pauses[0].Value != mac || p.Pauses[0].Reason != "dragon reboot: by hand" {
		t.Errorf("%+v", p.Pauses)
	}
	data, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil || !strings.Contains(string(data), `"decision":"manual"`) || !strings.Contains(string(data), `"action":"reboot"`) {
		t.Errorf("%v\n%s", err, data)
	}
}

func TestAnInstanceUsesTheNewPasswordAtOnce(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	address, _, _ := start(t, "--dragon="+l.Addr(0), "--data-dir="+l.Dir)
	up := func() bool {
		_, page := cmdtest.Get(t, "http://"+address+"/metrics")
		return strings.Contains(page, "\ndragon_up{") && strings.Contains(page, "} 1\n") && strings.Contains(page, "dragon_board_up")
	}
	cmdtest.Eventually(t, "the dragon is read", up)
	if out, errs, err := invoke(t, "dragon", "password", "--data-dir="+l.Dir, "--yes", l.Worker(0)); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	changed := l.Dragon(0).Truth().Users["admin"]
	l.Dragon(0).SetPassword("admin", changed) // ends its tokens
	logins := l.Dragon(0).Traffic().Logins
	cmdtest.Eventually(t, "it is read with the new password", func() bool { return up() && l.Dragon(0).Traffic().Logins > logins })
	if n := l.Dragon(0).Traffic().RefusedLogins; n > 1 { // one is that of the command, which knows only the old one first
		t.Errorf("%d logins were refused", n)
	}
}

func TestTheInventoryIsChangedByTheRunningInstance(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{}, dragontest.Spec{})
	address, _, _ := start(t, "--dragon="+l.Addr(0), "--dragon="+l.Addr(1), "--dragon-health-check-interval=1", "--data-dir="+l.Dir)
	cmdtest.Eventually(t, "the healer knows both", func() bool {
		var p web.PlanAnswer
		_, body := cmdtest.Get(t, "http://"+address+"/api/v1/plan")
		_ = json.Unmarshal([]byte(body), &p)
		return p.Plan != nil && len(p.Dragons) == 2
	})
	out, errs, err := invoke(t, "inventory", "retire", "--data-dir="+l.Dir, "--for=720h", "--reason=sold", l.Worker(1))
	if err != nil || errs != "" || !strings.Contains(out, "retired "+l.Worker(1)) || !strings.Contains(out, "inventory unretire "+l.Worker(1)) {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if _, page := cmdtest.Get(t, "http://"+address+"/metrics"); !strings.Contains(page, `dragon_maintenance{worker="`+l.Worker(1)+`"} 1`) {
		t.Error("a retired dragon is not silent")
	}
	if out, errs, err = invoke(t, "healer", "maintenance", "--data-dir="+l.Dir, "--scope=fleet", "--reason=visit"); err != nil {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	// Once for the visit, then for nothing: it stays retired.
	for _, want := range []string{"resumed p2\n", "nothing is paused\n"} {
		if out, errs, err = invoke(t, "healer", "resume", "--data-dir="+l.Dir, "all"); err != nil || out+errs != want {
			t.Errorf("%v\n%s%s", err, out, errs)
		}
	}
	for i, want := range []bool{true, false} { // it cannot be ended twice
		if out, _, err := invoke(t, "inventory", "unretire", "--data-dir="+l.Dir, l.Worker(1)); (err == nil) != want {
			t.Errorf("unretire %d: %v %s", i, err, out)
		}
	}
	if _, page := cmdtest.Get(t, "http://"+address+"/metrics"); !strings.Contains(page, `dragon_maintenance{worker="`+l.Worker(1)+`"} 0`) {
		t.Error("a dragon is silent that is no longer retired")
	}
	l.Dragon(0).Inject(dragontest.Unplugged) // or it would be found again
	out, errs, err = invoke(t, "inventory", "forget", "--data-dir="+l.Dir, l.Worker(0))
	if err != nil || errs != "" || out != "forgot "+l.Worker(0)+"\n" {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if _, page := cmdtest.Get(t, "http://"+address+"/metrics"); strings.Contains(page, l.Worker(0)) || !strings.Contains(page, l.Worker(1)) {
		t.Error("a forgotten dragon has series")
	}
	for _, args := range [][]string{
		{"forget", l.Worker(0)}, {"accept", "127.0.0.1"}, {"accept"}, {"retire", "--reason=r", l.Worker(1)},
		{"retire", "--reason=r", "--for=1h", "--until=2099-01-01", l.Worker(1)}, {"retire", "--reason=r", "--until=2001-01-01", l.Worker(1)},
	} {
		if out, _, err := invoke(t, append([]string{"inventory", "--data-dir=" + l.Dir}, args...)...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out, _, err := invoke(t, "inventory", "accept", "--all", "--data-dir="+l.Dir); err != nil || !strings.HasPrefix(out, "no dragon waits") {
		t.Errorf("%v %s", err, out)
	}
}

func TestLockedDragonsAreListed(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	l.Dragon(0).Inject(dragontest.WrongPassword)
	dir := t.TempDir()
	address, _, _ := start(t, "--dragon="+l.Addr(0), "--data-dir="+dir)
	cmdtest.Eventually(t, "it is found", func() bool {
		_, page := cmdtest.Get(t, "http://"+address+"/metrics")
		return strings.Contains(page, "mother_discovery_locked_hosts 1")
	})
	out, errs, err := invoke(t, "inventory", "--url=http://"+address)
	if err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(errs, "found, not let in: 1 dragon refuses our credentials") || !strings.Contains(errs, l.Addr(0)) || !strings.Contains(errs, "password") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
}

func TestAnAdoptedDragonGetsTheFarmsPasswordAndJoins(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 3, Prefix: netip.MustParsePrefix("127.98.8.0/24"),
		Specs: func(i int) dragontest.Spec { return dragontest.Spec{Password: []string{"", "", "of-a-stranger"}[i]} }})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "mother.yml")
	cmdtest.Rewrite(t, file, "data_dir: "+dir+"\nnetworks: [{cidr: 127.98.8.0/29}]\ncredentials: [{username: admin, password: our-farm, match: {network: 127.98.8.0/31}},"+
		" {username: admin, password: of-the-rest}]\n")
	address, _, _ := start(t, "--config.file="+file, "--dragon-port="+strconv.Itoa(int(dragons.Port())))
	cmdtest.Eventually(t, "all are found and locked", func() bool {
		_, page := cmdtest.Get(t, "http://"+address+"/metrics")
		return strings.Contains(page, "mother_discovery_locked_hosts 3")
	})
	out, errs, err := invoke(t, "dragon", "adopt", "--config.file="+file, "--yes", "--reason=new row", dragons.Addr(0), dragons.Addr(1), dragons.Addr(2))
	if err == nil || strings.Count(out, "changed and verified; joined") != 2 || !strings.Contains(errs, dragons.Addr(2)) {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	for i, want := range []string{"our-farm", "of-the-rest", "of-a-stranger"} {
		if got := dragons.Dragon(i).Truth().Users["admin"]; got != want {
			t.Errorf("dragon %d has the password %q, want %q", i, got, want)
		}
		if n := dragons.Dragon(i).Traffic().RefusedLogins; n > 8 {
			t.Errorf("dragon %d refused %d logins", i, n)
		}
	}
	if strings.Contains(out+errs, "our-farm") {
		t.Error("a password is shown")
	}
	_, sd := cmdtest.Get(t, "http://"+address+"/sd")
	if !strings.Contains(sd, dragons.Addr(0)) || !strings.Contains(sd, dragons.Addr(1)) || strings.Contains(sd, dragons.Addr(2)) {
		t.Errorf("known: %s", sd)
	}
	if _, page := cmdtest.Get(t, "http://"+address+"/metrics"); !strings.Contains(page, "mother_discovery_locked_hosts 1") {
		t.Error("the metric does not follow")
	}
}

// The password of one dragon is for no other, and the one for all only for those without.
func TestAnAdoptedDragonGetsNoPasswordOfAnother(t *testing.T) {
	for name, x := range map[string]struct{ forAll, other string }{
		"with a password for all":    {", {username: admin, password: of-all}", "of-all"},
		"without a password for all": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := cmdtest.NewFarm(t, dragontest.Spec{}, dragontest.Spec{Model: "t2t"}, dragontest.Spec{})
			file := filepath.Join(t.TempDir(), "mother.yml")
			cmdtest.Rewrite(t, file, "data_dir: "+l.Dir+"\ncredentials: [{username: admin, password: of-one, match: {mac: '"+l.Dragon(0).Spec().MAC+
				"'}}, {username: admin, password: of-t2t, match: {model: T2T}}"+x.forAll+"]\n")
			out, errs, err := invoke(t, "dragon", "adopt", "--config.file="+file, "--yes", l.Addr(0), l.Addr(1), l.Addr(2))
			if err != nil || strings.Count(out, "changed and verified") != 3 {
				t.Fatalf("%v\n%s%s", err, out, errs)
			}
			for i, want := range []string{"of-one", "of-t2t", x.other} {
				got := l.Dragon(i).Truth().Users["admin"]
				if random := len(got) >= 20; got != want && (want != "" || !random) {
					t.Errorf("dragon %d has the password %q, want %q", i, got, cmp.Or(want, "a random one"))
				}
			}
		})
	}
}
