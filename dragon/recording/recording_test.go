package recording_test

import (
	"bytes"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/dragon/recording"
)

// secrets are what a dragon knows and a recording must not.
var secrets = []string{"s3cr3t-admin", "s3cr3t-pool", "s3cr3t-login", "customer", "customer.rig-7", "de:ad:77", "DEAD77", "10.11.12.13", "10.11.12.14"}

func secretive(model string) dragontest.Spec {
	return dragontest.Spec{
		Model:    model,
		MAC:      "a0:b0:45:de:ad:77",
		Password: "s3cr3t-admin",
		Pools: []dragontest.Pool{
			{URL: "stratum+tcp://10.11.12.13:3333", User: "customer.rig-7", Password: "s3cr3t-pool"},
			{URL: "stratum+tcp://farm:s3cr3t-login@pool.example.net:3333", User: "customer.rig-7", Password: "s3cr3t-pool"},
		},
		Network: dragontest.Network{IPAddress: "10.11.12.14", Gateway: "10.11.12.13"},
	}
}

func take(t *testing.T, host string) *recording.Recording {
	t.Helper()
	c := dragon.New(host, dragon.Options{Credentials: []dragon.Credential{{Username: "admin", Password: "s3cr3t-admin"}}})
	defer c.CloseIdleConnections()
	var asked []string
	r, err := recording.Take(t.Context(), c, func(endpoint string) { asked = append(asked, endpoint) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, dragon.Readable()) {
		t.Errorf("told of %v, want everything that reads", asked)
	}
	return r
}

func TestRecordingOfEveryModelKeepsItsSecrets(t *testing.T) {
	for _, model := range dragontest.Models() {
		server := dragontest.NewServer(secretive(model.Key))
		r := take(t, server.Addr)
		server.Close()
		var file bytes.Buffer
		if err := r.Write(&file); err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(file.String()), strings.ToLower(secret)) {
				t.Errorf("%s: the recording holds %q", model.Key, secret)
			}
		}
		if strings.Contains(file.String(), "eyJ") {
			t.Errorf("%s: the recording holds a token", model.Key)
		}
		if len(r.Answers) != len(dragon.Readable()) {
			t.Errorf("%s: %d answers to %d questions", model.Key, len(r.Answers), len(dragon.Readable()))
		}
	}
}

func TestReplayIsReadAsTheDragonWas(t *testing.T) {
	for _, model := range dragontest.Models() {
		server := dragontest.NewServer(secretive(model.Key))
		r := take(t, server.Addr)
		server.Close()

		var file bytes.Buffer
		if err := r.Write(&file); err != nil {
			t.Fatal(err)
		}
		r, err := recording.Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		replay := httptest.NewServer(dragontest.Replay(r))
		c := dragon.New(replay.Listener.Addr().(*net.TCPAddr).String(), dragon.Options{})
		identity, err := c.Identify(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", model.Key, err)
		}
		if identity.Brand != model.Brand || identity.Overview.Model != model.Type || !strings.HasPrefix(identity.Overview.MAC, "a0:b0:45:") {
			t.Errorf("%s: replayed as %s %s %s", model.Key, identity.Brand, identity.Overview.Model, identity.Overview.MAC)
		}
		summary, err := c.Summary(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", model.Key, err)
		}
		if len(summary.Boards) != model.Boards || len(summary.Pools) != 2 || len(summary.Unreadable) > 0 {
			t.Errorf("%s: replayed with %d boards, %d pools, unreadable %v", model.Key, len(summary.Boards), len(summary.Pools), summary.Unreadable)
		}
		// Taken again from the replay it is the same: masks are not masked.
		again, err := recording.Take(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Answers, again.Answers, cmpopts.IgnoreFields(recording.Answer{}, "Error")); diff != "" {
			t.Errorf("%s: recorded again from the replay (-first +again):\n%s", model.Key, diff)
		}
		c.CloseIdleConnections()
		replay.Close()
	}
}

func TestOddAnswersAreRecordedAsTheyAre(t *testing.T) {
	for _, fault := range []dragontest.Fault{dragontest.Garbage, dragontest.Truncated, dragontest.Empty, dragontest.HTML, dragontest.PHPArrays, dragontest.NumbersAsStrings} {
		server := dragontest.NewServer(secretive("t1"))
		server.Dragon.Inject(fault, dragontest.On("summary", "pools", "getAll"))
		r := take(t, server.Addr)
		server.Close()
		i := slices.IndexFunc(r.Answers, func(a recording.Answer) bool { return a.Path == "/api/summary" })
		a := r.Answers[i]
		if a.Error != "" || a.Status != 200 || (len(a.Content()) == 0) != (fault == dragontest.Empty) {
			t.Errorf("%s: recorded as %+v", fault, a)
		}
		for _, answer := range r.Answers {
			for _, secret := range secrets {
				if bytes.Contains(answer.Content(), []byte(secret)) {
					t.Errorf("%s: the answer of %s holds %q", fault, answer.Path, secret)
				}
			}
		}
	}
}

func TestWhatIsNoRecordingIsRefused(t *testing.T) {
	for _, s := range []string{"", "{}", "[]", `{"format":99}`, "<html>"} {
		if _, err := recording.Read(strings.NewReader(s)); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}
