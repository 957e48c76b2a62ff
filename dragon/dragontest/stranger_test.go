package dragontest

import (
	"errors"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func TestWhatAnswersInPlaceOfADragonIsSaid(t *testing.T) {
	for kind, want := range map[StrangerKind]struct {
		is   error
		text string
	}{
		Router:    {nil, "its page has no title"},
		Switch:    {dragon.ErrOtherLogin, "401"},
		TLSOnly:   {dragon.ErrHTTPS, "HTTPS"},
		ToHTTPS:   {dragon.ErrHTTPS, "301 to https://"},
		LoginPage: {dragon.ErrOtherLogin, "Miner Console"},
	} {
		s := NewStranger(kind)
		defer s.Close()
		_, err := dragon.New(s.Addr, dragon.Options{}).Identify(t.Context())
		if !errors.Is(err, dragon.ErrNotDragon) || !strings.Contains(err.Error(), want.text) || want.is != nil && !errors.Is(err, want.is) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
