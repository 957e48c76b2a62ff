package dragon

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

func TestNoDragonKeepsItsFactoryPassword(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{Model: "t2t"}, dragontest.Spec{Password: "its-own"})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("its-own"), 0o600); err != nil {
		t.Fatal(err)
	}
	configuration := filepath.Join(t.TempDir(), "mother.yml")
	text := "data_dir: " + l.Dir + "\ncredentials: [{username: admin, password_file: " + file + "}, {username: admin, password: dragonadmin}, " +
		"{username: admin, password: admin}]\n"
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := invoke(t, "dragon", "password", "--config.file="+configuration, "--all-default", "--yes", "--reason=new hall")
	if err != nil || strings.Count(out, "changed and verified") != 2 || strings.Count(out, "has a password of its own") != 1 {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	audit, err := os.ReadFile(filepath.Join(l.Dir, "audit.jsonl"))
	if err != nil || strings.Count(string(audit), `"action":"password"`) != 2 || !strings.Contains(string(audit), "new hall: changed") {
		t.Errorf("%v\n%s", err, audit)
	}
	seen := map[string]bool{}
	for i := range 3 {
		p := l.Dragon(i).Truth().Users["admin"]
		if p == "dragonadmin" || p == "admin" || seen[p] || i == 2 && p != "its-own" {
			t.Errorf("dragon %d has the password %q", i, p)
		}
		seen[p] = true
		if strings.Contains(string(audit)+out+errs, p) {
			t.Errorf("the password of dragon %d is shown", i)
		}
	}
	if info, err := os.Stat(filepath.Join(l.Dir, "passwords.yml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// They are used from now on, and nothing is left to do.
	if out, errs, err := l.dragon("overview", l.Worker(0), l.Worker(1)); err != nil {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if err := os.Rename(filepath.Join(l.Dir, fleet.InventoryName), filepath.Join(l.Dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := l.dragon("overview", l.Addr(0), l.Addr(1)); err != nil { // the dragons are not identified yet
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	l.Remember()
	out, _, err = invoke(t, "dragon", "password", "--config.file="+configuration, "--all-default", "--yes")
	if err != nil || strings.Count(out, "has a password of its own") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}

// A kill between any two steps leaves a password on the disk that opens the dragon, and
// the next run brings it to the end.
func TestAKillBetweenAnyTwoStepsLosesNoPassword(t *testing.T) {
	errKilled := errors.New("killed")
	for _, model := range []string{"t1", "t2t"} {
		for _, at := range []string{"begin", "send", "verify", "confirm"} {
			t.Run(model+" before "+at, func(t *testing.T) {
				l := newFarm(t, dragontest.Spec{Model: model})
				mac := l.Dragon(0).Spec().MAC
				c := &config.Config{Settings: config.Settings{DataDir: l.Dir}}
				rotate := func(step func(string) error) (said string, err error) {
					f := &family{parallel: 1}
					b := &batch{family: f, config: c, verb: "password", hosts: []host{{l.Worker(0), l.Addr(0), mac}}, stdout: io.Discard, stderr: io.Discard}
					if b.client, err = f.clientOptions(t.Context(), c, io.Discard); err != nil {
						return "", err
					}
					store, err := passwords.Open(l.Dir) // a new store has nothing in memory
					if err != nil {
						return "", err
					}
					defer store.Close()
					w := &rotation{store: store, factory: true, step: step}
					o := b.each(t.Context(), func(ctx context.Context, v *target) (any, error) {
						said, _, e := w.rotate(ctx, v)
						err = e
						return said, e
					})
					said, _ = o[0].result.(string)
					return said, err
				}
				if _, err := rotate(func(step string) error {
					if step == at {
						return errKilled
					}
					return nil
				}); !errors.Is(err, errKilled) {
					t.Fatalf("%v, want the kill", err)
				}
				opens := func() bool {
					password := l.Dragon(0).Truth().Users["admin"]
					known := append(passwords.Reader(l.Dir).For(mac), dragon.DefaultCredentials()...)
					for _, x := range known {
						if string(x.Password) == password {
							return true
						}
					}
					return false
				}
				if !opens() {
					t.Fatal("after the kill the dragon's password is nowhere")
				}
				sentBefore := len(l.Dragon(0).Writes())
				said, err := rotate(nil)
				if err != nil {
					t.Fatal(err)
				}
				sent := at == "verify" || at == "confirm"
				if sent != strings.Contains(said, "interrupted") {
					t.Errorf("%q", said)
				}
				if n := len(l.Dragon(0).Writes()); sent && n != sentBefore {
					t.Errorf("the password was changed once more: %d writes, then %d", sentBefore, n)
				}
				store := passwords.Reader(l.Dir)
				given := store.For(mac)
				if _, pending := store.Pending(mac); len(given) != 1 || pending || string(given[0].Password) != l.Dragon(0).Truth().Users["admin"] ||
					given[0].Password == "dragonadmin" || given[0].Password == "admin" {
					t.Errorf("%d passwords in the store, pending %v", len(given), pending)
				}
			})
		}
	}
}

func TestInvalidPasswordsAreNotSent(t *testing.T) {
	l := newFarm(t, dragontest.Spec{})
	file := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{"admin": "factory password", "has blanks in it": "rejected"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, err := l.dragon("password", "--yes", "--new-password-file="+file, l.Worker(0)); err == nil || !strings.Contains(errs, want) {
			t.Errorf("%q: %v %s", text, err, errs)
		}
	}
	if w := l.Dragon(0).Writes(); len(w) > 0 {
		t.Errorf("%v", w)
	}
	if given := passwords.Reader(l.Dir).For(l.Dragon(0).Spec().MAC); len(given) > 0 {
		t.Errorf("%d passwords are in the store, and the dragon has none of them", len(given))
	}
	if _, _, err := l.dragon("password", l.Worker(0)); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("%v", err)
	}
}
