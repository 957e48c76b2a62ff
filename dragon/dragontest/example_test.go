package dragontest_test

import (
	"fmt"
	"net/http"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func ExampleNewServer() {
	server := dragontest.NewServer(dragontest.Spec{Model: "a9"})
	defer server.Close()

	r, _ := http.NewRequest(http.MethodPost, server.URL+"/api/type", nil)
	r.SetBasicAuth("admin", "admin")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	fmt.Println(res.StatusCode, server.Traffic().Requests["type"])

	server.Inject(dragontest.DeadBoard, dragontest.Board(1), dragontest.CuredBy(dragontest.CuredByRestart))
	fmt.Println("alive:", server.Truth().Boards[1].Alive)
	server.RestartMiner()
	fmt.Println("fault gone:", len(server.ActiveFaults()) == 0)
	// Output:
	// 200 1
	// alive: false
	// fault gone: true
}
