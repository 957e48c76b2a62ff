package gate

import (
	"context"
	"net"
	"testing"
)

func TestAGatewayAnswersByTakingOrRefusing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := Answers(t.Context(), l.Addr().String()); err != nil {
		t.Errorf("a listening port: %v", err)
	}
	l.Close()
	if err := Answers(t.Context(), l.Addr().String()); err != nil {
		t.Errorf("a refusing port: %v", err)
	}
	// TCP has no way to everybody: the kernel says so, and sends nothing.
	if err := Answers(t.Context(), "255.255.255.255:9"); err == nil {
		t.Error("an unused address is reported to answer")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := Answers(ended, "127.0.0.1:9"); err == nil {
		t.Error("an answer after the end")
	}
}
