package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestTheInventorySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN()
		h := openHall(t, Config{Dir: dir}, l)
		a, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.dragon("10.1.0.9:8081", dragontest.Spec{MAC: macB, Seed: 2})
		h.dragon("10.1.0.10", dragontest.Spec{MAC: " ", Seed: 3})
		h.dragon("10.1.0.11", dragontest.Spec{MAC: macC, Seed: 4})
		h.dragon("10.1.0.12", dragontest.Spec{MAC: macC, Seed: 5})
		_, simD := h.dragon("10.1.0.13", dragontest.Spec{MAC: "a0:b0:45:00:00:0d", Seed: 6})
		h.dragon("10.1.0.14", dragontest.Spec{MAC: "a0:b0:45:00:00:0e", Seed: 7})
		l.put("10.1.0.13", nil)
		l.put("10.1.0.14", simD)
		h.sight("10.1.0.14") // …0e has no address any more
		time.Sleep(time.Hour)
		h.read(a)
		h.stop()
		var before []Info
		for _, d := range h.Dragons() {
			before = append(before, *d.Info())
			if d == a {
				before[len(before)-1].LastSeen = time.Now().UTC() // exact on disk
			}
		}

		h = openHall(t, Config{Dir: dir}, l)
		h.check()
		asked := l.total()
		var after []Info
		for _, d := range h.Dragons() {
			after = append(after, *d.Info())
		}
		if diff := cmp.Diff(before, after); diff != "" {
			h.Error(diff)
		}
		if l.total() != asked {
			h.Error("opening the inventory asked dragons")
		}
		again := h.Lookup(macA)
		if g := again.Health(); g.Up || g.Reason != "" || !g.Since.IsZero() {
			h.Errorf("a remembered dragon that was not tried: %+v", g)
		}
		h.read(again)
		if _, err := h.Lookup("a0:b0:45:00:00:0e").Read(h.Context(), 0); err == nil {
			h.Error("a dragon without an address was read")
		}
	})
}

func TestTheInventoryIsSavedSoonAfterAChange(t *testing.T) {
	dir := t.TempDir()
	inHall(t, Config{Dir: dir}, func(h *hall) {
		file := filepath.Join(dir, "inventory.json")
		h.dragon("10.1.0.8", dragontest.Spec{})
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		b, err := os.ReadFile(file)
		if err != nil {
			h.Fatal(err)
		}
		if records, skipped, err := decodeInventory(b); len(records) != 1 || skipped != 0 || err != nil {
			h.Errorf("%v, %d, %v", records, skipped, err)
		}
		if info, _ := os.Stat(file); info.Mode() != 0o600 {
			h.Errorf("mode %v", info.Mode())
		}
		// LastSeen goes on without any change.
		time.Sleep(time.Hour)
		h.read(h.Dragons()[0])
		time.Sleep(saveMost)
		synctest.Wait()
		later, _ := os.ReadFile(file)
		if bytes.Equal(b, later) {
			h.Error("LastSeen was not saved")
		}
	})
}

func TestTheInventoryDoesNotWearOutAnSDCard(t *testing.T) {
	for name, x := range map[string]struct {
		dragons     int
		lasts, step time.Duration
		change      bool // at every step
		most        int
	}{
		"a calm day": {12, 24 * time.Hour, 2 * time.Minute, false, 12},
		"turmoil":    {200, 30 * time.Minute, 5 * time.Second, true, 1800*saveRate/(200*600) + saveBurst + 12},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			inHall(t, Config{Dir: dir, Facts: map[Fact]time.Duration{Firmware: 0}}, func(h *hall) {
				for i := range x.dragons {
					d, _ := h.dragon(fmt.Sprintf("10.1.1.%d", i), dragontest.Spec{Seed: uint64(i) + 1})
					if i == 0 || !x.change {
						h.read(d)
					}
				}
				writes, file := 0, filepath.Join(dir, inventoryName)
				var last os.FileInfo
				for began := time.Now(); time.Since(began) < x.lasts; time.Sleep(x.step) {
					if x.change {
						h.file.changed()
					}
					h.read(h.Dragons()[0])
					if now, err := os.Stat(file); err == nil && (last == nil || !os.SameFile(now, last)) {
						writes, last = writes+1, now
					}
				}
				if writes < 5 || writes > x.most {
					h.Errorf("the inventory of %d bytes was written %d times, want at most %d", last.Size(), writes, x.most)
				}
				asked := 0
				for _, d := range h.Dragons() {
					if !d.record().FirmwareAsked.IsZero() {
						asked++
					}
				}
				if !x.change && asked < x.dragons/2 {
					h.Errorf("%d dragons asked their vendor", asked)
				}
			})
		})
	}
}

// testdata/inventory-1.json is of program 0.1.0. inventory-2.json is what a later one
// might write; its other form has dragons that this program cannot read.
func TestAnInventoryOfAnotherVersion(t *testing.T) {
	for name, x := range map[string]struct {
		content []byte
		dragons int
		newer   bool
	}{
		"0.1.0":                {testdata(t, "inventory-1.json"), 2, false},
		"newer":                {testdata(t, "inventory-2.json"), 2, true},
		"newer, another shape": {[]byte(`{"version":3,"written_by":"8.0.0","dragons":{"a":1}}`), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "inventory.json")
			if err := os.WriteFile(file, x.content, 0o600); err != nil {
				t.Fatal(err)
			}
			inHall(t, Config{Dir: dir}, func(h *hall) {
				if n := len(h.Dragons()); n != x.dragons {
					h.Errorf("%d dragons, expected %d", n, x.dragons)
				}
				h.dragon("10.1.0.8", dragontest.Spec{})
				time.Sleep(24 * time.Hour)
				if n := testutil.ToFloat64(h.metrics.unwritten.WithLabelValues(fileOwn)); (n > 250) != x.newer { // for the alert, in each hour
					h.Errorf("%v failures are counted in a day", n)
				}
				h.stop()
				after, err := os.ReadFile(file)
				if err != nil || bytes.Equal(after, x.content) != x.newer {
					h.Errorf("written %t, of a newer version %t; %v", !bytes.Equal(after, x.content), x.newer, err)
				}
				if files, _ := os.ReadDir(dir); len(files) != 1 {
					h.Errorf("%v: set aside", files)
				}
				if said := h.log.said("a newer version wrote the inventory"); (said == 1) != x.newer {
					h.Errorf("said %d times: %q", said, h.log.lines)
				}
			})
		})
	}
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnInventoryThatIsNotUnderstoodIsSetAside(t *testing.T) {
	for name, content := range map[string]string{
		"empty":       "",
		"cut short":   `{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:0a","addr`,
		"garbage":     "\x00\xff\x13",
		"other shape": `[1,2,3]`,
		"no version":  `{"dragons":[]}`,
		"two in one":  `{"version":1,"dragons":[]}{"version":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "inventory.json")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			inHall(t, Config{Dir: dir}, func(h *hall) {
				if n := len(h.Dragons()); n != 0 {
					h.Errorf("%d dragons", n)
				}
				aside := file + "." + time.Now().UTC().Format("20060102T150405Z")
				if b, err := os.ReadFile(aside); err != nil || string(b) != content {
					h.Errorf("set aside: %q, %v", b, err)
				}
				if h.log.said(aside) != 1 {
					h.Errorf("the log says %q", h.log.lines)
				}
				h.dragon("10.1.0.8", dragontest.Spec{})
				h.stop()
				if b, err := os.ReadFile(file); err != nil || !bytes.Contains(b, []byte("10.1.0.8")) {
					h.Errorf("the new inventory: %q, %v", b, err)
				}
			})
		})
	}
}

func TestInvalidEntriesAreSkipped(t *testing.T) {
	dir := t.TempDir()
	content := `{"version":1,"dragons":[
		{"mac":"a0:b0:45:00:00:0e","address":"10.1.0.8","last_seen":"2025-01-01T00:00:00Z"},
		{"mac":"a0:b0:45:00:00:0a","address":"10.1.0.8","last_seen":"2026-01-02T00:00:00Z"},
		{"mac":"a0:b0:45:00:00:0b","address":""},
		{"mac":"a0:b0:45:00:00:0c","address":"10.1.0.9/../x"},
		{"mac":"a0:b0:45:00:00:0c","address":"user@10.1.0.9"},
		{"mac":"nonsense","address":"10.1.0.10"},
		{"mac":"a0:b0:45:00:00:0d","address":"10.1.0.8","last_seen":"2026-01-01T00:00:00Z"},
		{"mac":"a0:b0:45:00:00:0a","address":"10.1.0.8","last_seen":"2026-01-01T00:00:00Z"}
	]}`
	if err := os.WriteFile(filepath.Join(dir, "inventory.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	inHall(t, Config{Dir: dir}, func(h *hall) {
		h.check()
		var workers []string
		for _, d := range h.Dragons() {
			workers = append(workers, d.Info().Worker)
		}
		want := []string{"dragon-4500000a", "dragon-4500000d", "dragon-4500000e", "dragon-unknown@10.1.0.10"}
		if diff := cmp.Diff(want, workers); diff != "" {
			h.Error(diff)
		}
		if d := h.Lookup("10.1.0.8"); d == nil || d.mac != macA {
			h.Error("the dragon seen last at an address does not live there")
		}
		if h.log.said("3") == 0 {
			h.Errorf("the log says %q", h.log.lines)
		}
	})
}

func TestADragonSeenInTheFutureIsAskedAndForgotten(t *testing.T) {
	dir := t.TempDir()
	content := `{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:0a","address":"10.1.0.8","first_seen":"2099-01-01T00:00:00Z","last_seen":"2099-01-02T00:00:00Z"}]}`
	if err := os.WriteFile(filepath.Join(dir, "inventory.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	inHall(t, Config{Dir: dir, Retention: 48 * time.Hour}, func(h *hall) {
		d, start := h.Lookup(macA), time.Now()
		if i := d.Info(); i.FirstSeen.After(start) || i.LastSeen.After(start) {
			h.Errorf("%+v", i)
		}
		time.Sleep(10 * time.Minute)
		if h.Answered("10.1.0.8", time.Now().Add(-5*time.Minute)) {
			h.Error("a dragon that was not seen lately is not asked")
		}
		_, _ = d.Read(h.Context(), 0)
		time.Sleep(49 * time.Hour)
		if n := len(h.Dragons()); n != 0 {
			h.Error("not forgotten")
		}
	})
}

// A host without a clock of its own starts in the past: the bubble's year 2000 is that.
func TestAClockInThePastDoesNotDamageTheInventory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "inventory.json")
	content := `{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:0a","address":"10.1.0.8","first_seen":"2025-01-01T00:00:00Z","last_seen":"2026-01-02T00:00:00Z"}]}`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for start, answers := range []bool{false, true} {
		inHall(t, Config{Dir: dir}, func(h *hall) {
			if answers {
				h.lan.put("10.1.0.8", dragontest.New(dragontest.Spec{MAC: macA}))
			}
			_, _ = h.Lookup("10.1.0.8").Read(h.Context(), 0)
			time.Sleep(10 * time.Minute)
			h.stop()
			b, err := os.ReadFile(file)
			records, _, decodeErr := decodeInventory(b)
			if err != nil || decodeErr != nil || len(records) == 0 {
				h.Fatal(err, decodeErr, len(records))
			}
			if r := records[0]; r.FirstSeen.Year() != 2025 || r.LastSeen.Year() != 2026 {
				h.Errorf("after start %d the inventory says %v, %v: by the right clock the dragon would be forgotten", start+1, r.FirstSeen, r.LastSeen)
			}
		})
	}
}

func TestTheInventoryCanBeReadAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "inventory.json")
	if err := os.WriteFile(filepath.Join(dir, ".inventory.json123"), []byte(`{"ver`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("what a killed program left behind is still there: %v", left)
	}
	f.saveNow()
	stop, read := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				read <- n
				return
			default:
			}
			b, err := os.ReadFile(file)
			if err == nil {
				_, _, err = decodeInventory(b)
			}
			if err != nil {
				t.Errorf("read during a write: %v", err)
			}
			n++
		}
	}()
	for i := range 200 {
		f.remember([]record{{MAC: fmt.Sprintf("a0:b0:45:00:00:%02x", i), Address: fmt.Sprintf("10.1.0.%d", i)}})
		f.saveNow()
	}
	close(stop)
	if n := <-read; n == 0 {
		t.Error("nothing was read meanwhile")
	}
}

func TestADiskThatCannotBeWrittenStopsNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "inventory.json")
	inHall(t, Config{Dir: dir}, func(h *hall) {
		if err := os.Mkdir(file, 0o700); err != nil { // nothing can be renamed onto a directory
			h.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(file, "x"), nil, 0o600); err != nil {
			h.Fatal(err)
		}
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		time.Sleep(30 * time.Minute)
		h.read(d)
		time.Sleep(30 * time.Minute)
		if n := testutil.ToFloat64(h.metrics.unwritten.WithLabelValues(fileOwn)); n < 3 {
			h.Errorf("%v failures counted", n)
		}
		if n := h.log.said("inventory not written"); n != 1 {
			h.Errorf("said %d times", n)
		}
		if err := os.RemoveAll(file); err != nil {
			h.Fatal(err)
		}
		time.Sleep(saveLeast)
		synctest.Wait()
		if b, err := os.ReadFile(file); err != nil || !bytes.Contains(b, []byte("10.1.0.8")) {
			h.Errorf("not written again: %v", err)
		}
		if h.log.said("inventory written again") != 1 {
			h.Errorf("the log says %q", h.log.lines)
		}
	})
}

func TestTheCopyHasTheFormOfTheOriginal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dragon-inventory.json")
	inHall(t, Config{InventoryFile: file}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
		time.Sleep(time.Minute)
		synctest.Wait()
		written, err := os.Stat(file)
		if err != nil {
			h.Fatal(err)
		}
		time.Sleep(time.Hour)
		h.stop()
		if now, _ := os.Stat(file); !os.SameFile(written, now) {
			h.Error("written again without any change")
		}
		b, err := os.ReadFile(file)
		if err != nil {
			h.Fatal(err)
		}
		var got []map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			h.Fatal(err)
		}
		var overview any
		d.mu.Lock()
		raw := d.overview
		d.mu.Unlock()
		if err := json.Unmarshal(raw, &overview); err != nil {
			h.Fatal(err)
		}
		want := map[string]any{"ip_address": "10.1.0.8", "mac_address": macA, "worker": "dragon-4500000a", "overview": overview}
		if len(got) != 2 || cmp.Diff(want, got[0]) != "" {
			h.Errorf("%s", b)
		}
		// As Python's json.dump(sort_keys=True, indent=2) has it.
		if !strings.HasPrefix(string(b), "[\n  {\n    \"ip_address\": \"10.1.0.8\",\n    \"mac_address\": \""+macA+"\",\n    \"overview\": {\n      \"hardware\": {\n        \"cacheFree\": ") {
			h.Errorf("%s", b)
		}
	})
}

func TestAnInventoryThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "inventory.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil {
		t.Error("opened")
	}
}

// Whatever is in the file, opening it gives a consistent fleet or none, and what is
// written afterwards reads back as the same.
func FuzzInventory(f *testing.F) {
	f.Add([]byte(`{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:0a","address":"10.1.0.8:81","brand":"DragonMint","model":"T1","overview":{"type":"T1"},"first_seen":"2026-01-02T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":1,"dragons":[{"mac":"","address":"h","gone":true},{"mac":"A0B04500000A","address":"[::1]:80"},{"address":"::1"},{"address":"1:2:3"}]}`))
	f.Add([]byte(`{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:0a","address":"a"},{"mac":"a0:b0:45:00:00:0a","address":"b"},{"mac":"c8:b0:45:00:00:0a","address":"a","gone":true}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"dragons":[{"address":"x","overview":"\ud800 <"}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		open := func(content []byte) (*hall, []byte) {
			records, _, err := decodeInventory(content)
			if err != nil {
				return nil, nil
			}
			fl, err := Open(Config{})
			if err != nil {
				t.Fatal(err)
			}
			fl.remember(records)
			h := &hall{T: t, Fleet: fl}
			h.check()
			var text, copied bytes.Buffer
			if err := errors.Join(writeInventory(&text, fl.Dragons()), writeCopy(&copied, fl.Dragons())); err != nil || !json.Valid(copied.Bytes()) {
				t.Fatalf("%v: %s", err, copied.Bytes())
			}
			return h, text.Bytes()
		}
		h, first := open(content)
		if h == nil {
			return
		}
		if first == nil {
			t.Fatal("what was read cannot be written")
		}
		again, second := open(first)
		if again == nil || len(again.Dragons()) != len(h.Dragons()) || !bytes.Equal(first, second) {
			t.Errorf("written %s, and after reading it %s", first, second)
		}
	})
}

func FuzzNormalAddress(f *testing.F) {
	for _, s := range []string{"10.1.0.8", "10.1.0.8:80", "Miner.Local:8080", "[::1]:80", "::ffff:10.1.0.8", "a:b:c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := normalAddress(s)
		if !isAddress(a) {
			return
		}
		if again := normalAddress(a); again != a {
			t.Errorf("%q becomes %q becomes %q", s, a, again)
		}
	})
}

// What a dragon says of itself is its own affair; what becomes of it here is not.
func TestAnInventoryDoesNotGrowWithWhatADragonSays(t *testing.T) {
	wide := `{"success":true,"type":"T1"` + strings.Repeat(`,"x":[[[[[[[[1,2]]]]]]]]`, 4000) + `}`
	deep := `{"success":true,"type":"T1","x":` + strings.Repeat("[", 7900) + strings.Repeat("]", 7900) + `}`
	for name, answer := range map[string]string{"wide": wide, "deep": deep} {
		inHall(t, Config{Dir: t.TempDir()}, func(h *hall) {
			d, _ := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
			d.mu.Lock()
			d.learn("", &dragon.Overview{Answer: dragon.Answer{Raw: []byte(answer)}})
			d.mu.Unlock()
			var own, copied bytes.Buffer
			if err := errors.Join(writeInventory(&own, h.Fleet.Dragons()), writeCopy(&copied, h.Fleet.Dragons())); err != nil || own.Len() > 2000 || copied.Len() > 2000 {
				h.Errorf("%s: %d bytes became %d in the inventory, %d in the copy: %v", name, len(answer), own.Len(), copied.Len(), err)
			}
		})
	}
}

func TestAnInventoryThatIsNotWrittenWholeStaysAsItWas(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	f, err := openInventory(t.TempDir(), "", log.NewNopLogger(), m)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, failsAt int) {
		asked := 0
		f.write(fileOwn, f.path, 0o600, func(w io.Writer) error {
			if asked++; asked == failsAt {
				return errors.New("no more dragons")
			}
			_, err := io.WriteString(w, text)
			return err
		})
	}
	write("before", 0)
	for failsAt := 1; failsAt <= 2; failsAt++ { // what it is, and to the file
		write("after", failsAt)
		if got, err := os.ReadFile(f.path); err != nil || string(got) != "before" {
			t.Errorf("failed at %d: %q, %v", failsAt, got, err)
		}
		if n := testutil.ToFloat64(m.unwritten.WithLabelValues(fileOwn)); n != float64(failsAt) {
			t.Errorf("%v failures counted, want %d", n, failsAt)
		}
	}
	write("after", 0)
	if got, err := os.ReadFile(f.path); err != nil || string(got) != "after" {
		t.Errorf("written again: %q, %v", got, err)
	}
}
