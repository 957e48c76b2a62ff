package client

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write client.gen.go")

const dragons = 3

// base is the URL of a program that runs with simulated dragons.
var base string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "mother-of-dragons")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	demo := exec.Command(program, "demo", fmt.Sprint("--dragons=", dragons), "--speed=1", "--web.listen-address=127.0.0.1:0")
	demo.Dir = dir
	said, err := demo.StdoutPipe()
	if err == nil {
		err = demo.Start()
	}
	if err != nil {
		panic(err)
	}
	defer func() {
		_ = demo.Process.Signal(syscall.SIGTERM)
		_ = demo.Wait()
	}()
	// It says where it is once it listens, and goes on.
	var text bytes.Buffer
	for buffer := make([]byte, 4096); base == ""; {
		n, err := said.Read(buffer)
		text.Write(buffer[:n])
		base = string(regexp.MustCompile(`http://[0-9.:]+`).Find(text.Bytes()))
		if err != nil && base == "" {
			panic(fmt.Sprintf("the demo does not say where it is: %v\n%s", err, text.Bytes()))
		}
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	return m.Run()
}

// fleet asks until the dragons are found and read.
func fleet(t *testing.T, c *ClientWithResponses) *FleetAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		answer, err := c.GetDragonsWithResponse(ctx, &GetDragonsParams{Sort: new("worker")})
		if err != nil {
			t.Fatal(err)
		}
		if f := answer.JSON200; f == nil {
			t.Fatalf("%s: %s", answer.Status(), answer.Body)
		} else if f.Up == dragons {
			return f
		}
		<-tick.C
	}
}

func TestClientReadsARunningInstance(t *testing.T) {
	c, err := NewClientWithResponses(base)
	if err != nil {
		t.Fatal(err)
	}
	f := fleet(t, c)
	if f.Dragons == nil || len(*f.Dragons) != dragons {
		t.Fatalf("%+v", f)
	}
	for _, d := range *f.Dragons {
		if d.Worker == "" || d.Mac == "" || d.Hashrate == nil || *d.Hashrate < 1e9 {
			t.Errorf("%+v", d)
		}
	}
	worker := (*f.Dragons)[0].Worker
	one, err := c.GetDragonWithResponse(t.Context(), worker)
	if err != nil || one.JSON200 == nil || one.JSON200.Worker != worker || one.JSON200.BoardList == nil || len(*one.JSON200.BoardList) == 0 {
		t.Errorf("%s: %v, %+v", worker, err, one)
	}
	if none, err := c.GetDragonWithResponse(t.Context(), "unknown"); err != nil || none.StatusCode() != http.StatusNotFound || none.JSONDefault == nil || none.JSONDefault.Error == "" {
		t.Errorf("an unknown dragon: %v, %+v", err, none)
	}
	if healer, err := c.GetHealerWithResponse(t.Context()); err != nil || healer.JSON200 == nil || healer.JSON200.Mode == "" {
		t.Errorf("%v, %+v", err, healer)
	}
	// 503 until the healer has looked at it.
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		plan, err := c.GetPlanWithResponse(t.Context(), &GetPlanParams{Why: &worker})
		if err != nil || plan.JSON200 == nil && plan.StatusCode() != http.StatusServiceUnavailable {
			t.Fatalf("%v, %+v", err, plan)
		}
		if plan.JSON200 != nil {
			break
		}
	}
}

// go test . -update writes it.
func TestClientIsThatOfTheServedDocument(t *testing.T) {
	served, err := http.Get(base + "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer served.Body.Close()
	var document bytes.Buffer
	var object map[string]any
	if err := json.NewDecoder(io.TeeReader(served.Body, &document)).Decode(&object); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(file, document.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	generate := exec.CommandContext(t.Context(), "go", "run", "-modfile=../../tools/go.mod",
		"github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen", "-config=oapi-codegen.yaml", file)
	generate.Stderr = os.Stderr
	want, err := generate.Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("client.gen.go", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("client.gen.go"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("client.gen.go is not what the document gives; go test . -update (%v)", err)
	}
}
