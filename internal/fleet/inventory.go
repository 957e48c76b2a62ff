package fleet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/google/renameio/v2"
	"github.com/prometheus/common/version"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const (
	inventoryName    = "inventory.json"
	inventoryVersion = 1

	saveDelay    = time.Second     // after a change, so that a scan's many make one write
	saveInterval = 5 * time.Minute // for LastSeen

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
		f.Value.UpToDate = dragon.Known(0)
		if *l.UpToDate {
			f.Value.UpToDate = dragon.Known(1)
		}
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
	written map[string][sha256.Size]byte // by path, of the content: to write only what changed
	failing map[string]bool              // by path, to log only transitions
	newer   error                        // a newer version of the program wrote it: it is read and never written
}

func openInventory(dir, copyPath string, logger log.Logger, m *metrics) (inventoryFile, error) {
	f := inventoryFile{
		copy:    copyPath,
		logger:  logger,
		metrics: m,
		dirty:   make(chan struct{}, 1),
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
		err = fmt.Errorf("%s: no regular file, but %v", f.path, info.Mode().Type())
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
	return records, nil
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
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	delay := saveDelay
	for {
		select {
		case <-tick.C:
		case <-f.file.dirty:
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
		start := time.Now()
		f.saveNow()
		delay = max(saveDelay, 10*time.Since(start)) // a slow disk is not kept busy by it
	}
}

// saveNow writes the inventory and its copy. Only one goroutine may call it at a time.
func (f *Fleet) saveNow() {
	if f.file.path == "" && f.file.copy == "" {
		return
	}
	select {
	case <-f.file.dirty:
	default:
	}
	doc := document{Version: inventoryVersion, WrittenBy: version.Version, Dragons: []record{}}
	entries := []copyEntry{}
	for _, d := range f.Dragons() {
		r := d.record()
		doc.Dragons = append(doc.Dragons, r)
		if f.file.copy != "" {
			entries = append(entries, d.copyEntry(r))
		}
	}
	switch {
	case f.file.path == "":
	case f.file.newer != nil:
		f.metrics.unwritten.WithLabelValues(fileOwn).Inc()
	default:
		f.file.write(fileOwn, f.file.path, 0o600, encode(doc, ""))
	}
	if f.file.copy != "" {
		f.file.write(fileCopy, f.file.copy, 0o644, encode(entries, "  "))
	}
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

// encode writes v as JSON. What comes in is ours or was checked before, so that
// it cannot fail; nothing is written if it does.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil
	}
	return b.Bytes()
}

// write replaces a file if its content changed. Each failure is counted, the first of a row is
// logged.
func (f *inventoryFile) write(which, path string, perm os.FileMode, content []byte) {
	sum := sha256.Sum256(content)
	if content == nil || sum == f.written[path] && !f.failing[path] {
		return
	}
	err := renameio.WriteFile(path, content, perm, renameio.WithTempDir(filepath.Dir(path)))
	switch {
	case err != nil:
		f.metrics.unwritten.WithLabelValues(which).Inc()
		if !f.failing[path] {
			level.Error(f.logger).Log("msg", "inventory not written, retrying", "file", path, "err", err)
		}
	case f.failing[path]:
		level.Info(f.logger).Log("msg", "inventory written again", "file", path)
	}
	f.failing[path] = err != nil
	if err == nil {
		f.written[path] = sum
	}
}
