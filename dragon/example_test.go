package dragon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// A Client logs in by itself, and its figures are in base units.
func Example() {
	device := dragontest.NewServer(dragontest.Spec{Boards: 3}) // simulated; on a network, give New an address
	defer device.Close()

	c := dragon.New(strings.TrimPrefix(device.URL, "http://"), dragon.Options{
		Credentials: []dragon.Credential{{Username: "admin", Password: "dragonadmin"}},
	})
	defer c.CloseIdleConnections()
	ctx := context.Background()

	overview, err := c.Overview(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	summary, err := c.Summary(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(overview.Model, overview.Firmware, len(summary.Boards), "boards")
	for _, b := range summary.Boards {
		celsius, known := b.Temperature.Get()
		fmt.Println(b.Slot, b.Status, known && celsius > 20)
	}

	_, err = c.All(ctx) // an endpoint of another firmware
	fmt.Println(errors.Is(err, dragon.ErrNotOffered))
	// Output:
	// T1 t1_20180515_060842 3 boards
	// 0 Alive true
	// 1 Alive true
	// 2 Alive true
	// true
}
