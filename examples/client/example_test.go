package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/brndnmtthws/mother-of-dragons/examples/client"
)

// The dragons that need attention, each with the reason.
func Example() {
	c, err := client.NewClientWithResponses("http://localhost:9977")
	if err != nil {
		log.Fatal(err)
	}
	state := "trouble"
	answer, err := c.GetDragonsWithResponse(context.Background(), &client.GetDragonsParams{State: &state})
	if err != nil {
		log.Fatal(err)
	}
	if answer.JSON200 == nil {
		log.Fatal(answer.Status(), answer.JSONDefault)
	}
	for _, d := range *answer.JSON200.Dragons {
		if h := d.Healer; h != nil && h.Reason != nil {
			fmt.Println(d.Worker, h.State, *h.Reason)
		}
	}
}
