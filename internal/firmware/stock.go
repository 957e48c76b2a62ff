package firmware

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Stock is a library, and what the dragons say that their vendors have.
type Stock struct {
	*Library
	Fleet *fleet.Fleet
}

// Newest stands for the newest version there is.
const Newest = "latest"

// Offers returns what the vendors of the known dragons offer them from hosts that are
// allowed, newest first.
func (s *Stock) Offers() []Offer {
	var offers []Offer
	for _, d := range s.Fleet.Dragons() {
		i, latest := d.Info(), d.Facts().Firmware
		if latest.At.IsZero() || i.Conflict {
			continue
		}
		o := Offer{Version: latest.Value.Version, URL: latest.Value.URL, Model: i.Model, HWVer: i.HWVersion}
		v, err := dragon.ParseFirmware(o.Version)
		if err != nil || v.Fits(o.Model, o.HWVer) != nil || slices.Contains(offers, o) {
			continue
		}
		if _, err := s.allowed(o.URL); err == nil {
			offers = append(offers, o)
		}
	}
	slices.SortStableFunc(offers, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), built(b.Version, a.Version), cmp.Compare(a.HWVer, b.HWVer), cmp.Compare(a.URL, b.URL))
	})
	return offers
}

// built compares when two versions were built.
func built(a, b string) int {
	av, _ := dragon.ParseFirmware(a)
	bv, _ := dragon.ParseFirmware(b)
	return av.Built.Compare(bv.Built)
}

// Provide returns the image of a version, or of the newest, for a kind of dragon: it is
// fetched if it is offered and not here yet.
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

// Open is Library.Open for who only reads it.
func (s *Stock) Open(ctx context.Context, digest string) (io.ReadCloser, int64, error) {
	f, size, err := s.Library.Open(ctx, digest)
	if err != nil {
		return nil, 0, err // not a file that is nil, which would not be nil
	}
	return f, size, nil
}
