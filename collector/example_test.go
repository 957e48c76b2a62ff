package collector_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/brndnmtthws/mother-of-dragons/collector"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// A Collector serves the series of a fleet: here of one simulated dragon.
func Example() {
	device := dragontest.NewServer(dragontest.Spec{Boards: 2})
	defer device.Close()
	address := strings.TrimPrefix(device.URL, "http://")

	dragons, err := fleet.Open(fleet.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = dragons.Run(ctx) })
	defer running.Wait()
	defer cancel()

	client := dragon.New(address, dragon.Options{})
	defer client.CloseIdleConnections()
	identity, err := client.Identify(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	dragons.Sighted(ctx, fleet.Sighting{Address: address, Client: client, Identity: identity})

	metrics := collector.New(collector.Config{Fleet: dragons}).Metrics()
	page := httptest.NewRecorder()
	metrics.ServeHTTP(page, httptest.NewRequestWithContext(ctx, "GET", "/metrics?collect[]=boards", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "dragon_board_up") {
			fmt.Print(line)
		}
	}
	// Output:
	// dragon_board_up{board="0",worker="dragon-4500d1a6"} 1
	// dragon_board_up{board="1",worker="dragon-4500d1a6"} 1
}
