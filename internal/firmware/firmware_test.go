package firmware

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const t1New = "t1_20181101_120000"

// anImage is what a .swu looks like from outside.
func anImage(size int) []byte {
	b := make([]byte, size)
	copy(b, archive+"2 image")
	for i := 20; i < size; i++ {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func says(errs []error) string { return fmt.Sprint(errors.Join(errs...)) }

func TestADirectoryHasWhatItsManifestPins(t *testing.T) {
	dir := t.TempDir()
	old, fresh, soc := anImage(100), anImage(200), anImage(300)
	put(t, dir+"/t1_20180515_060842.swu", old)
	put(t, dir+"/"+t1New+".swu", fresh)
	put(t, dir+"/soc/t2t_a_20190102_030405.swu", soc)
	put(t, dir+"/t1_20190101_000000.swu", old) // not pinned
	put(t, dir+"/SHA256SUMS", []byte("# ours\n"+
		sum(old)+"  t1_20180515_060842.swu\n"+
		sum(fresh)+" *./"+t1New+".swu\r\n"+
		sum(soc)+"  soc/t2t_a_20190102_030405.swu\n"+
		sum(soc)+"  notes.txt\n"+
		sum(soc)+"  t1_20200101_000000.swu\n"+ // not there
		sum(soc)+"  ../t1_20200101_000000.swu\n"+
		"123  t1_20200102_000000.swu\n"+
		sum(old)+"  t1_20180515_060842.swu\n"))
	l := New(Config{Dir: dir, Kept: t.TempDir()})
	images, wrong := l.Images()
	var got []string
	for _, i := range images {
		got = append(got, strings.TrimSpace(i.HWVer+" "+i.Version))
	}
	if want := "[t1_20181101_120000 t1_20180515_060842 soc t2t_a_20190102_030405]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	for _, want := range []string{
		"t1_20190101_000000.swu is not used", "t1_20200101_000000.swu: no such file", "SHA256SUMS:7", "SHA256SUMS:8: \"123\" is not a SHA-256",
		"SHA256SUMS:9: t1_20180515_060842.swu is there twice",
	} {
		if !strings.Contains(says(wrong), want) {
			t.Errorf("nothing says %q:\n%s", want, says(wrong))
		}
	}
	if len(wrong) != 5 {
		t.Errorf("%d complaints:\n%s", len(wrong), says(wrong))
	}

	if _, _, err := l.Open(t.Context(), sum(anImage(400))); !errors.Is(err, ErrNoImage) || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "no such image; ") || !strings.Contains(err.Error(), "t1_20200101_000000.swu: no such file") {
		t.Errorf("what is not there, in the words of a rollout that waits for it: %v", err)
	}
	if i, err := l.Latest("T1", "g19"); err != nil || i.Version != t1New {
		t.Errorf("latest of a T1: %v, %v", i, err)
	}
	for _, c := range [][2]string{{"T1", "soc"}, {"T2", "g19"}, {"T2T", "g19"}} {
		if i, err := l.Latest(c[0], c[1]); !errors.Is(err, ErrNoImage) {
			t.Errorf("latest of %v: %v, %v", c, i, err)
		}
	}
	f, size, err := l.Open(t.Context(), sum(fresh))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := io.ReadAll(f); err != nil || !bytes.Equal(data, fresh) || size != 200 {
		t.Errorf("%d bytes, size %d, %v", len(data), size, err)
	}
}

func TestAnImageIsCheckedWheneverItIsUsed(t *testing.T) {
	dir := t.TempDir()
	image := anImage(100)
	put(t, dir+"/"+t1New+".swu", image)
	put(t, dir+"/SHA256SUMS", []byte(sum(image)+"  "+t1New+".swu\n"))
	l := New(Config{Dir: dir, Kept: t.TempDir()})
	image[50]++
	put(t, dir+"/"+t1New+".swu", image)
	if _, _, err := l.Open(t.Context(), sum(anImage(100))); !errors.Is(err, ErrDigest) {
		t.Errorf("changed: %v", err)
	}
	put(t, dir+"/"+t1New+".swu", []byte("<html>"))
	if _, _, err := l.Open(t.Context(), sum(anImage(100))); err == nil || !strings.Contains(err.Error(), "not a firmware image") {
		t.Errorf("a page: %v", err)
	}
	if err := os.Remove(dir + "/" + t1New + ".swu"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", dir+"/"+t1New+".swu"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Open(t.Context(), sum(anImage(100))); !errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("a link out of the directory: %v", err)
	}
}

func TestAMissingDirectoryIsNotAnError(t *testing.T) {
	if images, wrong := New(Config{Dir: t.TempDir() + "/none", Kept: t.TempDir() + "/none"}).Images(); len(images)+len(wrong) > 0 {
		t.Errorf("%v %v", images, wrong)
	}
}

// vendor serves an image.
type vendor struct {
	*httptest.Server
	image  []byte
	etag   string
	asked  []string // the Range of each request
	mu     sync.Mutex
	handle func(n int, w http.ResponseWriter, r *http.Request) bool // true: answered
}

func newVendor(t *testing.T, image []byte) *vendor {
	v := &vendor{image: image, etag: `"1"`}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.asked = append(v.asked, r.Header.Get("Range"))
		n, image, etag := len(v.asked), v.image, v.etag
		v.mu.Unlock()
		if v.handle != nil && v.handle(n, w, r) {
			return
		}
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) offer() Offer {
	return Offer{Version: t1New, URL: v.URL + "/files/t1/whatever?x=../../etc", Model: "T1", HWVer: "g19"}
}

func (v *vendor) library(t *testing.T, kept string) *Library {
	t.Helper()
	h, err := ParseHost(strings.TrimPrefix(v.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{Kept: kept, Allowed: []Host{h}})
	l.fetches.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return l
}

func TestAnImageIsFetchedOnceAndPinned(t *testing.T) {
	v := newVendor(t, anImage(300_000))
	kept := t.TempDir()
	l := v.library(t, kept)
	var group sync.WaitGroup
	var failed atomic.Int32
	for range 20 {
		group.Go(func() {
			if i, err := l.Fetch(t.Context(), v.offer()); err != nil || i.SHA256 != sum(v.image) || i.Size != 300_000 {
				t.Errorf("%v, %v", i, err)
				failed.Add(1)
			}
		})
	}
	group.Wait()
	if len(v.asked) != 1 {
		t.Errorf("asked %d times", len(v.asked))
	}
	files, _ := os.ReadDir(kept)
	if len(files) != 2 || files[0].Name() != sum(v.image)+".swu" && files[1].Name() != sum(v.image)+".swu" {
		t.Errorf("kept: %v", files)
	}

	l = v.library(t, kept) // another process
	if i, err := l.Latest("T1", "g19"); err != nil || i.SHA256 != sum(v.image) {
		t.Errorf("%v, %v", i, err)
	}
	if _, err := l.Fetch(t.Context(), v.offer()); err != nil || len(v.asked) != 1 {
		t.Errorf("asked %d times, %v", len(v.asked), err)
	}

	// The file is lost, and the vendor has another one by now.
	if err := os.Remove(kept + "/" + sum(v.image) + ".swu"); err != nil {
		t.Fatal(err)
	}
	right := v.image
	v.image = anImage(299_999)
	if _, err := l.Fetch(t.Context(), v.offer()); !errors.Is(err, ErrDigest) {
		t.Errorf("another image: %v", err)
	}
	v.image = right
	if i, err := l.Fetch(t.Context(), v.offer()); err != nil || i.SHA256 != sum(right) {
		t.Errorf("the right one again: %v, %v", i, err)
	}
}

func TestAnInterruptedDownloadResumes(t *testing.T) {
	image := anImage(200_000)
	half := func(w http.ResponseWriter, from, to int, status int) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(image)-from))
		if status == http.StatusPartialContent {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(image)-1, len(image)))
		}
		w.WriteHeader(status)
		_, _ = w.Write(image[from:to])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	t.Run("in one fetch", func(t *testing.T) {
		v := newVendor(t, image)
		v.handle = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			switch n {
			case 1:
				half(w, 0, 50_000, http.StatusOK)
			case 2:
				half(w, 50_000, 120_000, http.StatusPartialContent)
			}
			return false
		}
		if i, err := v.library(t, t.TempDir()).Fetch(t.Context(), v.offer()); err != nil || i.SHA256 != sum(image) {
			t.Errorf("%v, %v", i, err)
		}
		if want := "[ bytes=50000- bytes=120000-]"; fmt.Sprint(v.asked) != want {
			t.Errorf("asked %v, want %s", v.asked, want)
		}
	})
	t.Run("in the next process", func(t *testing.T) {
		v := newVendor(t, image)
		kept := t.TempDir()
		v.handle = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				half(w, 0, 50_000, http.StatusOK)
			}
			return false
		}
		l := v.library(t, kept)
		l.fetches.pause = func(context.Context, time.Duration) error { return context.Canceled }
		if _, err := l.Fetch(t.Context(), v.offer()); err == nil {
			t.Fatal("it was not cut")
		}
		if i, err := v.library(t, kept).Fetch(t.Context(), v.offer()); err != nil || i.SHA256 != sum(image) || v.asked[1] != "bytes=50000-" {
			t.Errorf("%v, %v, asked %v", i, err, v.asked)
		}
	})
	t.Run("not where the file is another one by now", func(t *testing.T) {
		v := newVendor(t, image)
		v.handle = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				defer func() {
					v.mu.Lock()
					v.image, v.etag = anImage(150_000), `"2"`
					v.mu.Unlock()
				}()
				half(w, 0, 50_000, http.StatusOK)
			}
			return false
		}
		if i, err := v.library(t, t.TempDir()).Fetch(t.Context(), v.offer()); err != nil || i.SHA256 != sum(anImage(150_000)) {
			t.Errorf("%v, %v", i, err)
		}
	})
	t.Run("from the beginning where the host cannot tell", func(t *testing.T) {
		v := newVendor(t, image)
		v.etag = ""
		v.handle = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				_, _ = w.Write(image[:50_000])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			return false
		}
		if i, err := v.library(t, t.TempDir()).Fetch(t.Context(), v.offer()); err != nil || i.SHA256 != sum(image) || v.asked[1] != "" {
			t.Errorf("%v, %v, asked %v", i, err, v.asked)
		}
	})
}

func TestWhatIsNotFetched(t *testing.T) {
	other := newVendor(t, anImage(1000))
	for name, c := range map[string]struct {
		offer  func(*Offer)
		handle func(int, http.ResponseWriter, *http.Request) bool
		says   string
		is     error
		asked  int
	}{
		"another host":            {offer: func(o *Offer) { o.URL = other.URL + "/x.swu" }, says: "host \"127.0.0.1", is: ErrNotAllowed},
		"another port":            {offer: func(o *Offer) { o.URL = "http://127.0.0.1/x.swu" }, says: "host \"127.0.0.1\"", is: ErrNotAllowed},
		"a file":                  {offer: func(o *Offer) { o.URL = "file:///etc/passwd" }, says: "\"file\" addresses", is: ErrNotAllowed},
		"no address":              {offer: func(o *Offer) { o.URL = "::\x00secret" }, says: "invalid URL of the image"},
		"a login":                 {offer: func(o *Offer) { o.URL = strings.Replace(o.URL, "//", "//user:secret@", 1) }, says: "a login is", is: ErrNotAllowed},
		"no version":              {offer: func(o *Offer) { o.Version = "../../x" }, says: "expected one like"},
		"another model":           {offer: func(o *Offer) { o.Model = "T2" }, says: "it is for a T1, not for a T2"},
		"hardware that is a path": {offer: func(o *Offer) { o.HWVer = "../g19" }, says: "not a hardware version"},
		"a redirect elsewhere": {handle: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL+"/x.swu", http.StatusFound)
			return true
		}, says: "a redirect to", is: ErrNotAllowed, asked: 1},
		"redirects for ever": {handle: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/again", http.StatusFound)
			return true
		}, says: "too often", asked: 4},
		"nothing there": {handle: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.NotFound(w, r)
			return true
		}, says: "HTTP status 404", asked: 1},
		"too much, and it says so": {handle: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(101<<20))
			return true
		}, says: "a dragon takes", asked: 1},
		"a page": {handle: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>we are gone</html>")
			return true
		}, says: "not a firmware image", asked: 1},
		"an ill host": {handle: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(503)
			return true
		}, says: "HTTP status 503", asked: 5},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t, anImage(1000))
			v.handle = c.handle
			o := v.offer()
			if c.offer != nil {
				c.offer(&o)
			}
			kept := t.TempDir()
			l := v.library(t, kept)
			i, err := l.Fetch(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, %v", i, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("it tells what the dragon said: %v", err)
			}
			if len(v.asked) != c.asked || len(other.asked) > 0 {
				t.Errorf("asked %d times, another host %d times", len(v.asked), len(other.asked))
			}
			if images, _ := l.Images(); len(images) > 0 {
				t.Errorf("there is %v", images)
			}
		})
	}
}

func TestUnreadablePinsAreAnError(t *testing.T) {
	v := newVendor(t, anImage(1000))
	kept := t.TempDir()
	put(t, kept+"/pins.json", []byte(`{"version":1,"images":[{"version":"../x","sha256":""}]}`))
	if i, err := v.library(t, kept).Fetch(t.Context(), v.offer()); err == nil || len(v.asked) > 0 {
		t.Errorf("%v, %v", i, err)
	}
}

func TestADirectoryThatContradictsAPinIsNotUsed(t *testing.T) {
	v := newVendor(t, anImage(1000))
	kept, dir := t.TempDir(), t.TempDir()
	if _, err := v.library(t, kept).Fetch(t.Context(), v.offer()); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/g19/"+t1New+".swu", anImage(999))
	put(t, dir+"/SHA256SUMS", []byte(sum(anImage(999))+"  g19/"+t1New+".swu\n"))
	l := New(Config{Dir: dir, Kept: kept})
	if images, wrong := l.Images(); len(images) != 1 || images[0].SHA256 != sum(v.image) || !strings.Contains(says(wrong), "another digest") {
		t.Errorf("%v, %v", images, wrong)
	}
}

func TestVendorsMustHavePublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.0.0.1": false, "192.168.1.254": false, "172.16.0.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "::1": false, "fe80::1": false, "fd00::1": false, "::ffff:10.0.0.1": false, "224.0.0.1": false, "64:ff9b::a00:1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: public %v", address, got)
		}
	}
	l := New(Config{Kept: t.TempDir(), Allowed: VendorHosts()})
	for _, good := range []string{"https://download.halongmining.com/files/t1/t1_20180515_060842.swu", "http://www.innosilicon.com.cn:80/x", "https://DOWNLOAD.halongmining.com/x"} {
		if _, err := l.allowed(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"https://download.halongmining.com.evil.example/x", "https://evil.example/download.halongmining.com", "https://download.halongmining.com:8443/x", "ftp://download.halongmining.com/x", "//download.halongmining.com/x"} {
		if _, err := l.allowed(bad); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for s, want := range map[string]string{
		"files.example.com": "files.example.com", "10.0.0.5:8080": "10.0.0.5:8080", "[fd00::1]:80": "[fd00::1]:80", "[fd00::1]": "fd00::1", "FILES.example.com": "files.example.com",
	} {
		if h, err := ParseHost(s); err != nil || h.String() != want {
			t.Errorf("%q: %v, %v", s, h, err)
		}
	}
	for _, s := range []string{"", "http://x", "x/y", "u@x", "x:y", "a b", "*", "x:80:80"} {
		if h, err := ParseHost(s); err == nil {
			t.Errorf("%q: taken as %v", s, h)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(sum(nil) + "  g19/t1_20180515_060842.swu\n# x\n123 *x.swu\n"))
	f.Add([]byte(sum(nil) + "  ../../t1_20180515_060842.swu"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _ := parseManifest(data)
		for _, e := range entries {
			if !filepath.IsLocal(e.file) || len(e.digest) != 64 || !strings.HasSuffix(e.file, suffix) || strings.Count(e.file, "/") > 1 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func FuzzPins(f *testing.F) {
	f.Add([]byte(`{"version":1,"images":[{"version":"t1_20180515_060842","sha256":"` + sum(nil) + `","size":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePins("pins.json", data)
		if err != nil {
			return
		}
		for i := range p.Images {
			if file := p.Images[i].image().file; !filepath.IsLocal(file) || filepath.Base(file) != file {
				t.Errorf("%q", file)
			}
		}
	})
}

func FuzzAllowed(f *testing.F) {
	f.Add("https://download.halongmining.com/files/t1/t1_20180515_060842.swu")
	f.Add("http://www.innosilicon.com.cn@evil/")
	l := New(Config{Allowed: VendorHosts()})
	f.Fuzz(func(t *testing.T, s string) {
		u, err := l.allowed(s)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.User != nil || strings.ToLower(again.Hostname()) != "download.halongmining.com" && strings.ToLower(again.Hostname()) != "www.innosilicon.com.cn" {
			t.Errorf("%q is %v", s, again)
		}
	})
}

func TestAnotherDirectoryAndOtherHosts(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	image := anImage(1000)
	put(t, there+"/"+t1New+".swu", image)
	put(t, there+"/SHA256SUMS", []byte(sum(image)+"  "+t1New+".swu\n"))
	l := New(Config{Dir: here, Kept: t.TempDir()})
	if images, _ := l.Images(); len(images) != 0 {
		t.Errorf("%v", images)
	}
	if _, err := l.allowed("http://files.example.com/x.swu"); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("%v", err)
	}
	l.Change(there, []Host{{Name: "files.example.com"}})
	images, wrong := l.Images()
	if len(images) != 1 || len(wrong) > 0 {
		t.Fatalf("%v %v", images, wrong)
	}
	f, _, err := l.Open(t.Context(), images[0].SHA256)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := l.allowed("http://files.example.com/x.swu"); err != nil {
		t.Error(err)
	}
}
