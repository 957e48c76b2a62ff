package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

// TestHighAvailabilityIsSwitchedOnAndOff takes an instance with a quarantine and a given
// password to etcd, with TLS and a login, lets another one take over, and goes back to a file there.
func TestHighAvailabilityIsSwitchedOnAndOff(t *testing.T) {
	t.Parallel()
	const prefix = "/mother-of-dragons/north/"
	cluster, secure := etcdtest.StartSecure(t, 1, prefix)
	w := newFarm(t, 8, quick, shipped)
	if out, status := w.invoke("healer", "quarantine", "--reason=loud", w.worker(3)); status != 0 {
		t.Fatalf("%d: %s", status, out)
	}
	quarantined := func() bool { return w.value(`mother_healer_devices{state="quarantined"}`) == 1 }
	eventually(t, "the dragon is quarantined", quarantined)
	w.p.stop(t)

	plain := slices.DeleteFunc(slices.Clone(w.args), func(a string) bool { return strings.HasPrefix(a, "--data-dir=") })
	shared := append(slices.Clip(plain), "--ha.lease=5s", "--ha.etcd.endpoints="+strings.Join(cluster.Endpoints(), ","), "--ha.etcd.prefix="+prefix,
		"--ha.etcd.ca-file="+secure.CA, "--ha.etcd.cert-file="+secure.Cert, "--ha.etcd.key-file="+secure.Key,
		"--ha.etcd.username="+secure.Username, "--ha.etcd.password-file="+secure.PasswordFile)
	first, second := w.dir, t.TempDir()
	a, base := mother(t, append(shared, "--ha.id=host-a", "--data-dir="+first)...)
	w.base = base
	eventually(t, "the first leads with its state", func() bool { return w.value("mother_leader") == 1 && quarantined() })
	if !strings.Contains(a.logged(), "healer state moved to etcd") {
		t.Errorf("the log does not say that the state was moved:\n%s", a.logged())
	}
	b, other := mother(t, append(shared, "--ha.id=host-b", "--data-dir="+second)...)
	w.base = other
	eventually(t, "the second follows", func() bool { return w.value("mother_leader") == 0 && w.value("mother_ha_coordinator_up") == 1 })

	if out, status := w.command("dragon", "password", "--data-dir="+first, "--yes", "--reason=test", w.dragons.Addr(5)); status != 0 {
		t.Fatalf("%d: %s", status, out)
	}
	eventually(t, "the second knows the password", func() bool {
		data, err := os.ReadFile(filepath.Join(second, "passwords.yml"))
		given, _ := os.ReadFile(filepath.Join(first, "passwords.yml"))
		return err == nil && string(data) == string(given)
	})
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-a.done
	eventually(t, "the second leads with the state of the first", func() bool { return w.value("mother_leader") == 1 && quarantined() })

	leave := append([]string{"leave-ha", "--data-dir=" + second}, shared...)
	if out, status := w.command(leave...); status == 0 || !strings.Contains(out, "host-b leads") {
		t.Errorf("leaving while an instance leads: %d: %s", status, out)
	}
	b.stop(t)
	if out, status := w.command(append([]string{"plan", "--data-dir=" + second, "--why=" + w.worker(3)}, shared...)...); !strings.Contains(out, "quarantined for") {
		t.Errorf("a plan without an instance knows nothing of the quarantine: %d: %s", status, out)
	}
	if out, status := w.command(leave...); status != 0 || !strings.Contains(out, "8 dragons") {
		t.Fatalf("leaving: %d: %s", status, out)
	}
	w.p, w.base = mother(t, append(plain, "--data-dir="+second)...)
	eventually(t, "it goes on without etcd", func() bool { return w.value("mother_healer_lock_held") == 1 && quarantined() })
	if n := w.value("mother_state_recovered"); n != 0 {
		t.Errorf("the state counts as lost: %g", n)
	}
	w.p.stop(t)
}

// TestARolloutOfFirmwareGoesOnAtTheOtherHost kills what leads while an image is on its way to
// a dragon. The upload is waited out, never begun again, and the rollout comes to its end.
func TestARolloutOfFirmwareGoesOnAtTheOtherHost(t *testing.T) {
	t.Parallel()
	dir, _ := firmwares(t, dragontest.Image{Version: newer, Outcome: dragontest.Good, Size: 3 << 20})
	uploading := make(chan int, 100)
	p := newPair(t, etcdtest.Start(t, 1), 10, 200, swift, func(i int, endpoint string) {
		if endpoint == "upgrade/upload" {
			uploading <- i
		}
	}, "--firmwares-path="+dir)
	leader := p.leader()
	p.dir = p.dirs[leader]
	if out, status := p.invoke("firmware", "rollout", "start", "latest", "--model=T1", "--reason=a test", "--yes"); status != 0 {
		t.Fatalf("%d: %s", status, out)
	}
	<-uploading // the canary
	second := <-uploading
	p.kill(leader)
	p.base[leader], p.instance.base = "", p.base[1-leader]
	eventually(t, "the other one leads", func() bool { return p.value("mother_leader") == 1 })
	done := func() bool { return p.value(`mother_rollout_state{name="`+newer+`",rollout="f1",state="done"}`) == 1 }
	p.dir = p.dirs[1-leader]
	// Where the kill cut the upload, nothing shows whether the image arrived: the rollout waits
	// for a human, and does not send it again.
	paused := func() bool { return p.value(`mother_rollout_state{name="`+newer+`",rollout="f1",state="paused"}`) == 1 }
	within(t, 4*time.Minute, "the rollout ends", func() bool {
		if paused() {
			if out, status := p.invoke("firmware", "rollout", "resume", "f1", "--reason=a test"); status != 0 {
				t.Fatalf("%d: %s", status, out)
			}
		}
		return done()
	})
	newly, bricked := p.upgraded()
	t.Logf("%d of 10 dragons run it, %d uploads; dragon %d was being sent it", newly, p.uploads(), second)
	if bricked != 0 || newly < 9 {
		t.Errorf("%d dragons run it, %d are bricked", newly, bricked)
	}
	if p.uploads() != 10 {
		t.Errorf("%d uploads, want one for each of ten dragons", p.uploads())
	}
	p.check(10)
}
