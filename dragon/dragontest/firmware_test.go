package dragontest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upload sends a file as the field of that name.
func (b *bench) upload(field, name string, file io.Reader) (answer, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, _ := w.CreateFormFile(field, name)
	_, _ = io.Copy(part, file)
	_ = w.Close()
	return b.try(b.t.Context(), http.MethodPost, "/upgrade/upload", w.FormDataContentType(), &body)
}

func (b *bench) flash(i Image) {
	b.t.Helper()
	a, err := b.upload("upfile", i.Name(), i.Open())
	if err != nil || a.status != 200 || !strings.HasPrefix(a.body, "Ok, "+i.Name()+" - ") || a.header.Get("Content-Type") != "text/plain" {
		b.t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	b.http.CloseIdleConnections()
	time.Sleep(2*time.Minute + 90*time.Second + 15*time.Second)
}

func TestImageOutcomes(t *testing.T) {
	const version = "t1_20181101_130000"
	type found struct {
		firmware string
		answers  bool
		boots    int
		boards   int
		rate     float64 // of what it was
		again    bool    // answers after one more reboot
	}
	old := modelOf("t1").Firmware
	for outcome, want := range map[Outcome]found{
		Good:          {version, true, 2, 3, 1, true},
		BricksNow:     {version, false, 2, 0, 0, false},
		BricksNext:    {version, true, 2, 3, 1, false},
		WrongVersion:  {old, true, 2, 3, 1, true},
		LosesBoard:    {version, true, 2, 2, 2. / 3, true},
		SlowHash:      {version, true, 2, 3, 0.8, true},
		SignatureFail: {old, true, 1, 3, 1, true},
	} {
		t.Run(string(outcome), func(t *testing.T) {
			onBench(t, Spec{TuneTime: -1}, func(b *bench) {
				rate := b.Truth().Hashrate
				b.flash(Image{Version: version, Outcome: outcome, Size: 100 << 10})
				tr := b.Truth()
				boards := 0
				for _, bt := range tr.Boards {
					if bt.Listed {
						boards++
					}
				}
				if tr.Firmware != want.firmware || tr.Answers != want.answers || tr.Boots != want.boots || boards != want.boards {
					b.t.Errorf("firmware %s, answers %v, %d boots, %d boards; want %+v", tr.Firmware, tr.Answers, tr.Boots, boards, want)
				}
				near(b.t, "rate", tr.Hashrate, want.rate*rate, 0.03)
				b.Reboot()
				time.Sleep(2 * time.Minute)
				b.PowerOff()
				b.PowerOn()
				time.Sleep(2 * time.Minute)
				if got := b.Truth().Answers; got != want.again {
					b.t.Errorf("answers after another reboot and a power cycle: %v", got)
				}
			})
		})
	}
}

func TestUploadIsAsynchronousAndOneAtATime(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		image := Image{Version: "t1_20181101_130000"}
		if _, err := b.upload("upfile", image.Name(), image.Open()); err != nil {
			b.t.Fatal(err)
		}
		if tr := b.Truth(); !tr.Flashing || tr.Firmware == image.Version {
			b.t.Errorf("at once: %+v", tr)
		}
		if a, err := b.upload("upfile", image.Name(), image.Open()); err != nil || a.status != 500 {
			b.t.Errorf("second upload: %d, %v, want 500", a.status, err)
		}
		b.summary() // it mines meanwhile
		if w := b.Writes(); len(w) != 1 || w[0].Endpoint != "upgrade/upload" || w[0].Form.Get("version") != image.Version {
			b.t.Errorf("Writes = %v", w)
		}
	})
}

func TestUploadsThatAreRefused(t *testing.T) {
	image := Image{Version: "t1_20181101_130000", Size: 2 << 20}
	for _, c := range []struct {
		name, auth, field string
		status            int
		spec              Spec
	}{
		{"wrong password", basic("admin", "x"), "upfile", 401, Spec{}},
		{"stale token", "Bearer x", "upfile", 401, Spec{}},
		{"guest", basic("guest", "dragonguest"), "upfile", 401, Spec{}},
		{"wrong field", "", "file", 400, Spec{}},
		{"too large", "", "upfile", 413, Spec{MaxUpload: 1 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, c.spec, func(b *bench) {
				b.auth = c.auth
				if a, err := b.upload(c.field, image.Name(), image.Open()); err != nil || a.status != c.status {
					b.t.Errorf("%d, %v, want %d", a.status, err, c.status)
				}
				if b.Truth().Flashing {
					b.t.Error("it flashes")
				}
			})
		})
	}
}

func TestWhatIsNoImageForItIsNotTaken(t *testing.T) {
	for name, file := range map[string]io.Reader{
		"no image":      strings.NewReader("something else"),
		"another model": Image{Version: "b29_20181101_130000"}.Open(),
	} {
		t.Run(name, func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) {
				if a, err := b.upload("upfile", "x.swu", file); err != nil || a.status != 200 {
					b.t.Errorf("%d, %v: the 200 only means received", a.status, err)
				}
				time.Sleep(time.Hour)
				if tr := b.Truth(); tr.Boots != 1 || tr.Flashing {
					b.t.Errorf("boots %d, flashing %v", tr.Boots, tr.Flashing)
				}
			})
		})
	}
}

func TestUploadCutShortDoesNothing(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		ctx, cancel := context.WithCancel(b.t.Context())
		r, w := io.Pipe()
		m := multipart.NewWriter(w)
		go func() {
			part, _ := m.CreateFormFile("upfile", "x.swu")
			_, _ = part.Write(Image{Version: "t1_20181101_130000"}.Bytes())
			_, _ = part.Write(make([]byte, 64<<10))
			cancel()
			_ = w.CloseWithError(context.Canceled)
		}()
		if _, err := b.try(ctx, http.MethodPost, "/upgrade/upload", m.FormDataContentType(), r); !errors.Is(err, context.Canceled) {
			b.t.Errorf("err = %v", err)
		}
		time.Sleep(time.Hour)
		if b.Truth().Boots != 1 {
			b.t.Error("it rebooted")
		}
	})
}

func TestDownloadFlashesWhatTheURLNames(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		post := func() answer {
			a, err := b.try(b.t.Context(), http.MethodPost, "/upgrade/download", "application/x-www-form-urlencoded", strings.NewReader("url=http%3A%2F%2F127.0.0.1%2Ft1_20181101_130000.swu"))
			if err != nil {
				b.t.Fatal(err)
			}
			return a
		}
		b.auth = basic("admin", "x")
		if a := post(); a.status != 401 {
			b.t.Errorf("wrong password: %d", a.status)
		}
		b.auth = ""
		if a := post(); a.status != 200 {
			b.t.Errorf("%d %s", a.status, a.body)
		}
		time.Sleep(4 * time.Minute)
		if got := b.Truth().Firmware; got != "t1_20181101_130000" {
			b.t.Errorf("firmware %s", got)
		}
	})
}
