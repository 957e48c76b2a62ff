package firmware

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Stock is a library and the offers of the vendors, which the dragons report.
type Stock struct {
	*Library
	Fleet *fleet.Fleet

	mu    sync.Mutex
	asked map[kind]asked
}

type kind struct{ model, hwver string }

// asked is the answer of one dragon of a kind, and when to ask again.
type asked struct {
	offer Offer
	again time.Time
}

const (
	askAgain = 24 * time.Hour // a dragon what its vendor has
	askRetry = time.Hour      // the same, where the answer was none
)

// Newest stands for the newest version.
const Newest = "latest"

// Offers returns the offers of the known dragons' vendors from allowed hosts, newest
// first.
func (s *Stock) Offers() []Offer {
	var offers []Offer
	s.mu.Lock()
	for _, a := range s.asked {
		if a.offer.Version != "" {
			offers = append(offers, a.offer)
		}
	}
	s.mu.Unlock()
	for _, d := range s.Fleet.Dragons() {
		i, latest := d.Info(), d.Facts().Firmware
		if latest.At.IsZero() || i.Conflict {
			continue
		}
		if o, ok := s.offer(i, &latest.Value); ok && !slices.Contains(offers, o) {
			offers = append(offers, o)
		}
	}
	slices.SortStableFunc(offers, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), built(b.Version, a.Version), cmp.Compare(a.HWVer, b.HWVer), cmp.Compare(a.URL, b.URL))
	})
	return offers
}

// offer is a vendor's offer to a dragon, if it is valid and at an allowed host.
func (s *Stock) offer(i *fleet.Info, latest *dragon.LatestFirmware) (Offer, bool) {
	o := Offer{Version: latest.Version, URL: latest.URL, Model: i.Model, HWVer: i.HWVersion}
	v, err := dragon.ParseFirmware(o.Version)
	if err != nil || v.Fits(o.Model, o.HWVer) != nil {
		return Offer{}, false
	}
	_, err = s.allowed(o.URL)
	return o, err == nil
}

// ask lets one dragon of a kind ask its vendor, unless the answer is known: the fleet
// itself asks once a day only.
func (s *Stock) ask(ctx context.Context, model, hwver string) {
	if len(s.sources.Load().allowed) == 0 {
		return
	}
	k := kind{strings.ToUpper(model), strings.ToLower(hwver)}
	s.mu.Lock()
	known := s.asked[k]
	s.mu.Unlock()
	if time.Now().Before(known.again) {
		return
	}
	answer := asked{offer: known.offer, again: time.Now().Add(askRetry)}
	for _, d := range s.Fleet.Dragons() {
		i := d.Info()
		if i.Conflict || !d.Health().Up || !strings.EqualFold(i.Model, model) || hwver != "" && !strings.EqualFold(i.HWVersion, hwver) {
			continue
		}
		var latest *dragon.LatestFirmware
		err := d.OutOfBand(ctx, func(ctx context.Context, c *dragon.Client) (err error) {
			latest, err = c.LatestFirmware(ctx)
			return err
		})
		if err == nil {
			answer.again = time.Now().Add(askAgain)
			answer.offer, _ = s.offer(i, latest)
		}
		break
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[kind]asked)
	}
	s.asked[k] = answer
}

// built compares when two versions were built.
func built(a, b string) int {
	av, _ := dragon.ParseFirmware(a)
	bv, _ := dragon.ParseFirmware(b)
	return av.Built.Compare(bv.Built)
}

// Provide returns the image of a version, or the newest, for a kind of dragon. It fetches
// an offered image that is not here yet.
func (s *Stock) Provide(ctx context.Context, version, model, hwver string) (Image, error) {
	var here Image
	var err error
	if version == Newest {
		here, err = s.Latest(model, hwver)
	} else {
		here, err = s.Find(version, model, hwver)
	}
	if err != nil && !errors.Is(err, ErrNoImage) {
		return Image{}, err
	}
	if version == Newest || err != nil {
		s.ask(ctx, model, hwver)
	}
	for _, o := range s.Offers() { // newest first
		fits := strings.EqualFold(o.Model, model) && (hwver == "" || strings.EqualFold(o.HWVer, hwver))
		switch {
		case !fits:
		case version == Newest && err == nil && built(o.Version, here.Version) <= 0:
		case version == Newest, err != nil && o.Version == version:
			return s.Fetch(ctx, o)
		}
	}
	return here, err
}

// Open is Library.Open with a plain reader.
func (s *Stock) Open(ctx context.Context, digest string) (io.ReadCloser, int64, error) {
	f, size, err := s.Library.Open(ctx, digest)
	if err != nil {
		return nil, 0, err // not a file that is nil, which would not be nil
	}
	return f, size, nil
}
