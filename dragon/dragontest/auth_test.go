package dragontest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func TestLogin(t *testing.T) {
	const ok = `{"success":true,"jwt":"`
	for _, c := range []struct {
		name, model, user, password, want string
	}{
		{"right password", "t1", "admin", "dragonadmin", ok},
		{"guest", "t1", "guest", "dragonguest", ok},
		{"Innosilicon's password", "t2t", "admin", "admin", ok},
		{"wrong password", "t1", "admin", "x", `{"success":false,"message":"invalid password"}`},
		{"no user of that name", "t1", "root", "x", `{"success":false,"message":"user not found"}`},
		{"empty password", "t1", "admin", "", `{"success":false,"message":"missing username\/password fields"}`},
		{"odd characters in the name are dropped by DragonMint", "t1", "ad.min", "dragonadmin", ok},
		{"and not by Innosilicon", "t2t", "ad.min", "admin", `{"success":false,"message":"user not found"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, Spec{Model: c.model}, func(b *bench) {
				b.auth = "none"
				if got := b.post("auth", "username", c.user, "password", c.password); !strings.HasPrefix(got, c.want) {
					b.t.Errorf("got %s, want %s…", got, c.want)
				}
			})
		})
	}
}

func TestLoginWithJSONBodyMissesItsFields(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.auth = "none"
		a, err := b.try(b.t.Context(), http.MethodPost, "/api/auth", "application/json", strings.NewReader(`{"username":"admin","password":"dragonadmin"}`))
		if want := `{"success":false,"message":"missing username\/password fields"}`; err != nil || a.body != want {
			b.t.Errorf("got %s, %v, want %s", a.body, err, want)
		}
	})
}

// login returns a Bearer header for admin.
func (b *bench) login() string {
	b.t.Helper()
	was := b.auth
	b.auth = "none"
	defer func() { b.auth = was }()
	var a struct{ JWT string }
	body := b.post("auth", "username", "admin", "password", b.Truth().Users["admin"])
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.JWT == "" {
		b.t.Fatalf("login: %s", body)
	}
	return "Bearer " + a.JWT
}

func TestTokenIsRecordedShape(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		parts := strings.Split(strings.TrimPrefix(b.login(), "Bearer "), ".")
		header, _ := base64.RawURLEncoding.DecodeString(parts[0])
		if string(header) != `{"typ":"JWT","alg":"HS256"}` {
			b.t.Errorf("header = %s", header)
		}
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		want := `{"iss":"DragonMint","iat":946684800,"exp":946706400,"user":"admin"}`
		if string(payload) != want {
			b.t.Errorf("claims = %s, want %s", payload, want)
		}
	})
}

func TestTokenExpires(t *testing.T) {
	const typeT1 = `{"success":true,"type":"T1"}`
	for _, c := range []struct {
		name string
		do   func(*bench)
		want string
	}{
		{"not before six hours", func(*bench) { time.Sleep(6*time.Hour - time.Second) }, typeT1},
		{"after six hours", func(*bench) { time.Sleep(6 * time.Hour) }, tokenExpired},
		{"with a reboot", func(b *bench) { b.Reboot(); time.Sleep(2 * time.Minute) }, tokenExpired},
		{"not with a restart of the miner process", func(b *bench) { b.RestartMiner() }, typeT1},
		{"not with a changed password", func(b *bench) {
			b.want("updatePassword", `{"success":true}`, "user", "admin", "currentPassword", "dragonadmin", "newPassword", "longenough")
		}, typeT1},
		{"when the clock goes back before iat", func(b *bench) { b.Inject(WrongClock, Delay(-time.Hour)) }, tokenExpired},
		{"when it is altered", func(b *bench) { b.auth = b.auth[:len(b.auth)-2] + "AA" }, tokenExpired},
		{"when it is not a token", func(b *bench) { b.auth = "Bearer x" }, tokenExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) {
				b.auth = b.login()
				b.want("type", typeT1)
				c.do(b)
				b.want("type", c.want)
			})
		})
	}
}

func TestStaleTokenSpoilsALogin(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.auth = "Bearer stale"
		b.want("auth", tokenExpired, "username", "admin", "password", "dragonadmin")
		if n := b.Traffic().Stale; n != 1 {
			b.t.Errorf("Stale = %d, want 1", n)
		}
	})
}

func TestWhoMayCallWhat(t *testing.T) {
	for _, c := range []struct {
		name, model, auth, endpoint string
		want                        bool
	}{
		{"guest reads", "t1", basic("guest", "dragonguest"), "summary", true},
		{"guest does not write", "t1", basic("guest", "dragonguest"), "restartCgMiner", false},
		{"guest does not see the autotuner of a DragonMint", "t1", basic("guest", "dragonguest"), "getAutoTuneStatus", false},
		{"guest sees that of an Innosilicon", "t2t", basic("guest", "guest"), "getAutoTuneStatus", true},
		{"no login", "t1", "none", "summary", false},
		{"wrong Basic password", "t1", basic("admin", "x"), "summary", false},
		{"any Basic password while it is Innosilicon's default", "t2t", basic("admin", "x"), "summary", true},
		{"endpoint of the other brand", "t1", "", "unit", false},
		{"wrong case", "t1", "", "Summary", false},
		{"slash at the end", "t1", "", "summary/", false},
		{"no name", "t1", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, Spec{Model: c.model}, func(b *bench) {
				b.auth = c.auth
				if got := b.post(c.endpoint); (got != invalidRequest) != c.want {
					b.t.Errorf("%s = %s", c.endpoint, got)
				}
			})
		})
	}
}

func TestBasicIsCheckedOnceThePasswordIsChanged(t *testing.T) {
	onBench(t, Spec{Model: "t2t", Password: "secret12"}, func(b *bench) {
		b.auth = basic("admin", "x")
		b.want("type", invalidRequest)
	})
}

func TestUpdatePasswordRefusals(t *testing.T) {
	for _, c := range []struct{ model, user, current, next, want string }{
		{"t1", "admin", "x", "new", `{"success":false,"message":"wrong current password"}`},
		{"t1", "root", "dragonadmin", "new", `{"success":false,"message":"invalid user"}`},
		{"t2t", "guest", "admin", "new", `{"success":false,"message":"invalid user"}`},
		{"t1", "admin", "dragonadmin", "", `{"success":false,"message":"invalid new password"}`},
		{"t1", "guest", "dragonadmin", "new", `{"success":true}`},
	} {
		t.Run(c.want, func(t *testing.T) {
			onBench(t, Spec{Model: c.model}, func(b *bench) {
				b.want("updatePassword", c.want, "user", c.user, "currentPassword", c.current, "newPassword", c.next)
			})
		})
	}
}

func TestTrafficKnowsWhoTriedWhat(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.auth = "none"
		b.post("auth", "username", "admin", "password", "admin")
		b.post("auth", "username", "admin", "password", "dragonadmin")
		b.post("setLock")
		b.auth = basic("guest", "x")
		b.post("summary")
		got := b.Traffic()
		if got.Logins != 1 || got.RefusedLogins != 1 || got.Requests["auth"] != 2 || got.Total() != 4 || got.Connections != 1 || got.InFlight != 0 || got.MaxInFlight != 1 {
			b.t.Errorf("Traffic = %+v", got)
		}
		for _, c := range []dragon.Credential{{Username: "admin", Password: "admin"}, {Username: "admin", Password: "dragonadmin"}, {Username: "guest", Password: "x"}} {
			if got.Credentials[c] != 1 {
				b.t.Errorf("Credentials[%v] = %d, want 1", c.Username, got.Credentials[c])
			}
		}
		if got.Forbidden["setLock"] != 1 {
			b.t.Errorf("Forbidden = %v, want setLock", got.Forbidden)
		}
		b.ForgetTraffic()
		if n := b.Traffic().Total(); n != 0 {
			b.t.Errorf("after ForgetTraffic: %d requests", n)
		}
	})
}
