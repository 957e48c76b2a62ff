package fleet

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/google/renameio/v2"
	"github.com/prometheus/common/version"
	"golang.org/x/time/rate"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const (
	inventoryName    = "inventory.json"
	questionsName    = "inventory.asked"
	inventoryVersion = 1

	saveDelay = time.Second // after a change, so that a scan's many make one write

	// LastSeen and what vendors answered change all the time: they are written this long after
	// the start, then twice as long after that, and so on.
	saveLeast = 5 * time.Minute
	saveMost  = 6 * time.Hour

	// The file of ten thousand dragons has 9 MB. Writes are limited to this many bytes a
	// second on average, with as many files as that at once.
	saveRate  = 8 << 10
	saveBurst = 4
)

// The values of the label file of mother_inventory_write_failures_total.
const (
	fileOwn  = "own"
	fileCopy = "copy"
)

// document is the content of inventory.json.
type document struct {
	Version   int      `json:"version"`
	WrittenBy string   `json:"written_by,omitempty"` // version of the program
	Dragons   []record `json:"dragons"`
}

type record struct {
	MAC       string          `json:"mac"`
	Address   string          `json:"address"`
	Gone      bool            `json:"gone,omitempty"` // another dragon lives at Address
	Brand     string          `json:"brand,omitempty"`
	Model     string          `json:"model,omitempty"`
	Firmware  string          `json:"firmware,omitempty"`
	HWVersion string          `json:"hw_version,omitempty"`
	FirstSeen time.Time       `json:"first_seen"`
	LastSeen  time.Time       `json:"last_seen"`
	Overview  json.RawMessage `json:"overview,omitempty"` // as dragon.KnownOverview gives it, for the copy
	Life      life            `json:"life,omitzero"`
	Boards    int             `json:"boards,omitempty"` // as many as it has shown
	Retired   time.Time       `json:"retired,omitzero"` // it is not forgotten before

	// A dragon is asked once a day what its vendor has, however often the program
	// starts. The other facts are read again.
	FirmwareAsked time.Time       `json:"firmware_asked,omitzero"`
	Latest        *latestFirmware `json:"latest_firmware,omitempty"`
}

type latestFirmware struct {
	Version  string    `json:"version"`
	URL      string    `json:"url,omitempty"`
	Current  string    `json:"current,omitempty"`
	UpToDate *bool     `json:"up_to_date,omitempty"`
	At       time.Time `json:"at"`
}

func (l *latestFirmware) fact() Dated[dragon.LatestFirmware] {
	f := Dated[dragon.LatestFirmware]{dragon.LatestFirmware{Version: l.Version, URL: l.URL, CurrentVersion: l.Current}, l.At}
	if l.UpToDate != nil {
		f.Value.UpToDate = dragon.Bool(*l.UpToDate)
	}
	return f
}

func remembered(f Dated[dragon.LatestFirmware]) *latestFirmware {
	if f.At.IsZero() {
		return nil
	}
	l := &latestFirmware{Version: f.Value.Version, URL: f.Value.URL, Current: f.Value.CurrentVersion, At: f.At.UTC()}
	if v, known := f.Value.UpToDate.Get(); known {
		upToDate := v != 0
		l.UpToDate = &upToDate
	}
	return l
}

// inventoryFile is the inventory on disk, and its copy in the original tool's form.
type inventoryFile struct {
	path    string // empty: none
	copy    string // empty: none
	logger  log.Logger
	metrics *metrics
	dirty   chan struct{}
	urgent  chan struct{}                // a human waits for the next write
	written map[string][sha256.Size]byte // by path, of the content: to write only what changed
	failing map[string]bool              // by path, to log only transitions
	newer   error                        // a newer version of the program wrote it: it is read and never written

	askedMu sync.Mutex // of the file with questions
}

func openInventory(dir, copyPath string, logger log.Logger, m *metrics) (*inventoryFile, error) {
	f := &inventoryFile{
		copy:    copyPath,
		logger:  logger,
		metrics: m,
		dirty:   make(chan struct{}, 1),
		urgent:  make(chan struct{}, 1),
		written: make(map[string][sha256.Size]byte),
		failing: make(map[string]bool),
	}
	if dir == "" {
		return f, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, fmt.Errorf("the data directory (--data-dir): %w", err)
	}
	f.path = filepath.Join(dir, inventoryName)
	// A program killed in the middle of a write leaves its temporary file behind.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, fmt.Errorf("the data directory (--data-dir): %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+inventoryName) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	return f, nil
}

// changed has the inventory saved soon.
func (f *inventoryFile) changed() {
	select {
	case f.dirty <- struct{}{}:
	default:
	}
}

// atOnce has what a human changed written down without a wait.
func (f *inventoryFile) atOnce() {
	f.changed()
	select {
	case f.urgent <- struct{}{}:
	default:
	}
}

// load reads the inventory. A corrupt file is moved aside under a dated name; a file that
// cannot be read is an error, since it may be intact.
func (f *inventoryFile) load() ([]record, error) {
	if f.path == "" {
		return nil, nil
	}
	info, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file: %v", f.path, info.Mode().Type())
	}
	if err != nil {
		return nil, fmt.Errorf("the inventory: %w", err)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("the inventory: %w", err)
	}
	records, skipped, err := decodeInventory(b)
	if newer := (*newerError)(nil); errors.As(err, &newer) {
		f.newer, err = newer, nil
		level.Error(f.logger).Log("msg", "a newer version wrote the inventory", "file", f.path, "written_by", newer.writtenBy, "version", newer.version,
			"known", inventoryVersion, "advice", "start the newer version again; until then the inventory is read and not written")
	}
	if err != nil {
		aside := f.path + "." + time.Now().UTC().Format("20060102T150405Z")
		if renameErr := os.Rename(f.path, aside); renameErr != nil {
			err = errors.Join(err, renameErr)
		}
		level.Error(f.logger).Log("msg", "inventory corrupt, starting empty",
			"file", f.path, "set_aside_as", aside, "err", err)
		return nil, nil
	}
	if skipped > 0 {
		level.Warn(f.logger).Log("msg", "inventory entries without address skipped", "file", f.path, "entries", skipped)
	}
	f.recallQuestions(records)
	return records, nil
}

// asked writes down at once that a dragon has its vendor asked, and then what it answered, in a
// file of its own that ends with the next inventory: a program that is killed often must not ask
// more often, and the next question comes in a day.
func (f *inventoryFile) asked(mac string, at time.Time, answer *latestFirmware) {
	if f.path == "" || f.newer != nil {
		return
	}
	f.askedMu.Lock()
	defer f.askedMu.Unlock()
	line := mac + " " + at.UTC().Format(time.RFC3339)
	if answer != nil {
		text, _ := json.Marshal(answer) // of strings, a boolean and a time
		line += " " + string(text)
	}
	file, err := os.OpenFile(f.questions(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = io.WriteString(file, line+"\n")
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		f.metrics.unwritten.WithLabelValues(fileOwn).Inc()
	}
}

func (f *inventoryFile) questions() string { return filepath.Join(filepath.Dir(f.path), questionsName) }

// recallQuestions takes in the questions since the inventory was written. Lines that are not
// understood are left out.
func (f *inventoryFile) recallQuestions(records []record) {
	text, err := os.ReadFile(f.questions())
	if err != nil {
		return
	}
	byMAC := make(map[string][]*record, len(records))
	for i := range records {
		byMAC[records[i].MAC] = append(byMAC[records[i].MAC], &records[i])
	}
	for line := range strings.Lines(string(text)) {
		mac, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, answer, _ := strings.Cut(rest, " ")
		asked, err := time.Parse(time.RFC3339, at)
		if err != nil {
			continue
		}
		var latest *latestFirmware
		_ = json.Unmarshal([]byte(answer), &latest)
		claimants := byMAC[normalMAC(mac)]
		for _, r := range claimants {
			if asked.After(r.FirmwareAsked) {
				r.FirmwareAsked = asked
			}
			if latest != nil && len(claimants) == 1 { // of several, it is unknown which one it was
				r.Latest = latest
			}
		}
	}
}

// newerError is an inventory of a newer version of the program.
type newerError struct {
	version   int
	writtenBy string
}

func (e *newerError) Error() string {
	return fmt.Sprintf("inventory of version %d, written by mother-of-dragons %s; this program knows version %d", e.version, e.writtenBy, inventoryVersion)
}

// decodeInventory reads the content of inventory.json. Entries that name no address
// are left out and counted. Of a newer version it returns what it understands, and a
// newerError.
func decodeInventory(b []byte) (records []record, skipped int, err error) {
	var head struct {
		Version   int    `json:"version"`
		WrittenBy string `json:"written_by"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, 0, fmt.Errorf("not an inventory: %w", err)
	}
	var doc document
	err = json.Unmarshal(b, &doc)
	switch {
	case head.Version > inventoryVersion:
		if err != nil {
			doc.Dragons = nil
		}
		err = &newerError{head.Version, cmp.Or(head.WrittenBy, "(unknown version)")}
	case err != nil:
		return nil, 0, fmt.Errorf("not an inventory: %w", err)
	case head.Version != inventoryVersion:
		return nil, 0, fmt.Errorf("inventory of version %d (this program knows version %d)", head.Version, inventoryVersion)
	}
	for _, r := range doc.Dragons {
		r.MAC, r.Address = normalMAC(r.MAC), normalAddress(r.Address)
		if !isAddress(r.Address) {
			skipped++
			continue
		}
		records = append(records, r)
	}
	return records, skipped, err
}

// remember makes the dragons of the inventory known. None of them counts as down: the first
// reader asks each.
func (f *Fleet) remember(records []record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Of two at one address the one seen last lives there.
	slices.SortStableFunc(records, func(a, b record) int { return b.LastSeen.Compare(a.LastSeen) })
	var gone []record
	for _, r := range records {
		if r.Gone || f.byAddress[r.Address] != nil {
			gone = append(gone, r)
			continue
		}
		f.recall(r, f.newEndpoint(r.Address, dragon.New(r.Address, f.config.Client)))
	}
	for _, r := range gone {
		if dragon.UsableMAC(r.MAC) && len(f.byMAC[r.MAC]) == 0 {
			f.recall(r, nil)
		}
	}
	for name := range f.byName {
		f.relabel(name)
	}
}

// recall makes a dragon of the inventory known, at p or, where p is nil, nowhere.
// The caller holds f.mu and relabels.
func (f *Fleet) recall(r record, p *endpoint) {
	// What lies in the future, by a clock that is wrong now or was wrong then, counts as
	// now: it would be recent for as long. The file keeps it: a host without a clock of its
	// own starts in the past, and soon knows better.
	var ahead [2]time.Time
	now := time.Now()
	for i, t := range []*time.Time{&r.FirstSeen, &r.LastSeen} {
		if t.After(now) {
			ahead[i], *t = *t, now
		}
	}
	d := &Dragon{fleet: f, mac: r.MAC, lane: newLane(), overview: dragon.KnownOverview(r.Overview), lastSeen: r.LastSeen, ahead: ahead,
		life: r.Life, retired: r.Retired, boards: shownBoards{most: r.Boards}, firmwareAsked: r.FirmwareAsked}
	if r.Latest != nil && f.config.interval(Firmware) > 0 {
		d.facts.Store(&Facts{Firmware: r.Latest.fact()})
	}
	info := &Info{MAC: r.MAC, Address: r.Address, IP: hostOf(r.Address), Brand: dragon.Brand(r.Brand),
		Model: dragon.Printable(r.Model), Firmware: dragon.Printable(r.Firmware), HWVersion: dragon.Printable(r.HWVersion),
		FirstSeen: r.FirstSeen, LastSeen: r.LastSeen}
	d.findLabels(info)
	d.info.Store(info)
	d.mu.Lock()
	if p != nil {
		d.moveTo(p)
	} else {
		d.change(func(i *Info) { i.IP = "" })
		d.health = health{down: true, reason: "unreachable", since: r.LastSeen,
			err: fmt.Errorf("dragon %s: another dragon lives there now: %w", r.Address, dragon.ErrUnreachable)}
	}
	d.mu.Unlock()
	if p != nil {
		f.occupy(p.address, d)
	}
	f.enter(d)
}

// save writes the inventory after changes and now and then, until ctx is done.
func (f *Fleet) save(ctx context.Context) {
	if f.file.path == "" && f.file.copy == "" {
		return
	}
	var (
		every = saveLeast
		tick  = time.NewTimer(every)
		took  time.Duration
		turns = rate.NewLimiter(rate.Inf, saveBurst) // of writes, so that an SD card is not worn out
	)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			every = min(2*every, saveMost)
		case <-f.file.dirty:
			turn := turns.Reserve()
			select {
			case <-time.After(max(saveDelay, 10*took)): // a slow disk is not kept busy by it
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(turn.Delay()):
			case <-f.file.urgent:
				turn.Cancel()
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
		start := time.Now()
		size := f.saveNow()
		took = time.Since(start)
		if size > 0 {
			turns.SetLimit(saveRate / rate.Limit(size))
		}
		if len(f.file.failing) > 0 || f.file.newer != nil { // each try is counted, for the alert
			every = saveLeast
		}
		tick.Reset(every)
	}
}

// saveNow writes the inventory and its copy and returns how many bytes were written. Only one
// goroutine may call it at a time.
func (f *Fleet) saveNow() (size int) {
	if f.file.path == "" && f.file.copy == "" {
		return 0
	}
	select {
	case <-f.file.dirty:
	default:
	}
	dragons := f.Dragons()
	switch {
	case f.file.path == "":
	case f.file.newer != nil:
		f.metrics.unwritten.WithLabelValues(fileOwn).Inc()
	default:
		f.file.askedMu.Lock()
		size += f.file.write(fileOwn, f.file.path, 0o600, func(w io.Writer) error { return writeInventory(w, dragons) })
		if !f.file.failing[f.file.path] {
			_ = os.Remove(f.file.questions())
		}
		f.file.askedMu.Unlock()
	}
	if f.file.copy != "" {
		size += f.file.write(fileCopy, f.file.copy, 0o644, func(w io.Writer) error { return writeCopy(w, dragons) })
	}
	return size
}

func (d *Dragon) record() record {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.Info()
	first, last := i.FirstSeen, d.lastSeen.Round(0)
	if !d.ahead[0].IsZero() {
		first = d.ahead[0]
	}
	if last.Before(d.ahead[1]) {
		last = d.ahead[1]
	}
	return record{MAC: i.MAC, Address: i.Address, Gone: d.endpoint == nil, Brand: string(i.Brand), Model: i.Model, Firmware: i.Firmware,
		HWVersion: i.HWVersion, FirstSeen: first.UTC(), LastSeen: last.UTC(), Overview: d.overview,
		Life: d.life.clone(), Boards: d.boards.most, Retired: d.retired, FirmwareAsked: d.firmwareAsked.UTC(), Latest: remembered(d.Facts().Firmware)}
}

// writeInventory writes the inventory, a dragon at a time: the whole text of ten thousand takes
// tens of megabytes.
func writeInventory(w io.Writer, dragons []*Dragon) error {
	head, err := json.Marshal(document{Version: inventoryVersion, WrittenBy: version.Version, Dragons: []record{}})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	_, _ = out.Write(bytes.TrimSuffix(head, []byte("]}")))
	if err := writeElements(out, dragons, ",", "", "", func(d *Dragon) any { return d.record() }); err != nil {
		return err
	}
	_, _ = out.WriteString("]}\n")
	return out.Flush()
}

// writeCopy writes the inventory in the original tool's form.
func writeCopy(w io.Writer, dragons []*Dragon) error {
	if len(dragons) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	out := bufio.NewWriter(w)
	_, _ = out.WriteString("[\n  ")
	if err := writeElements(out, dragons, ",\n  ", "  ", "  ", func(d *Dragon) any { return d.copyEntry(d.record()) }); err != nil {
		return err
	}
	_, _ = out.WriteString("\n]\n")
	return out.Flush()
}

// writeElements writes the elements of a JSON array. A bufio.Writer keeps its first error.
func writeElements(out *bufio.Writer, dragons []*Dragon, separator, prefix, indent string, element func(*Dragon) any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, indent)
	for i, d := range dragons {
		if i > 0 {
			_, _ = out.WriteString(separator)
		}
		b.Reset()
		if err := e.Encode(element(d)); err != nil {
			return err
		}
		_, _ = out.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	}
	return nil
}

// write replaces a file if its content changed, and returns how many bytes it wrote. Each failure
// is counted, the first of a row is logged. The content may be asked for twice.
func (f *inventoryFile) write(which, path string, perm os.FileMode, content func(io.Writer) error) (size int) {
	sum := sha256.New()
	err := content(sum)
	if err == nil && [sha256.Size]byte(sum.Sum(nil)) == f.written[path] && !f.failing[path] {
		return 0
	}
	sum.Reset()
	if err == nil {
		size, err = replaceFile(path, perm, func(w io.Writer) error { return content(io.MultiWriter(w, sum)) })
	}
	switch {
	case err != nil:
		f.metrics.unwritten.WithLabelValues(which).Inc()
		if !f.failing[path] {
			level.Error(f.logger).Log("msg", "inventory not written, retrying", "file", path, "err", err)
		}
		f.failing[path] = true
		return size
	case f.failing[path]:
		level.Info(f.logger).Log("msg", "inventory written again", "file", path)
	}
	delete(f.failing, path)
	f.written[path] = [sha256.Size]byte(sum.Sum(nil))
	return size
}

func replaceFile(path string, perm os.FileMode, content func(io.Writer) error) (size int, err error) {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(perm), renameio.WithExistingPermissions(), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return 0, err
	}
	defer file.Cleanup() //nolint:errcheck // it is gone by then, or of no use
	if err := content(file); err != nil {
		return 0, err
	}
	if at, err := file.Seek(0, io.SeekCurrent); err == nil {
		size = int(at)
	}
	return size, file.CloseAtomicallyReplace()
}
