package dragontest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// tokenLife is exp - iat of every recorded token.
const tokenLife = 6 * time.Hour

// The three generic failures, all with status 200.
const (
	invalidRequest = `{"success":false,"message":"invalid request"}`
	tokenExpired   = `{"success":false,"token":"expired"}`
	noSuccess      = `{"success":false}`
)

// who is calling, as far as the device can tell.
type who int

const (
	stranger who = iota
	stale        // a Bearer token that cannot be decoded, for whatever reason
	guest
	admin
)

func whoIs(user string) who {
	if user == "admin" {
		return admin
	}
	return guest
}

// caller finds out who sent a request. Where there is a Bearer token nothing else
// is looked at. The caller holds d.mu.
func (d *Dragon) caller(r *http.Request, now time.Time) who {
	header := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(header, "Bearer "); ok {
		user, ok := d.tokenUser(token, now)
		if _, exists := d.users[user]; !ok || !exists || d.has(AlwaysExpired) != nil {
			return stale
		}
		return whoIs(user)
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return stranger
	}
	d.traffic.Credentials[dragon.Credential{Username: user, Password: dragon.Secret(password)}]++
	if d.basicOK(user, password) {
		return whoIs(user)
	}
	return stranger
}

func (d *Dragon) basicOK(user, password string) bool {
	if d.has(WrongPassword) != nil || d.has(LockedOut) != nil || d.has(PasswordChange) != nil {
		return false
	}
	actual, exists := d.users[user]
	if !exists {
		return false
	}
	if d.model.innosilicon() && actual == defaultUsers(d.model.Brand)[user] {
		// Innosilicon takes any password by Basic while the stored one is the default.
		return true
	}
	return password == actual
}

// login answers /api/auth.
func (d *Dragon) login(p *php, a *request) {
	user, password := a.form.Get("username"), a.form.Get("password")
	if user == "" || password == "" {
		p.failure("missing username/password fields")
		return
	}
	if !d.model.innosilicon() {
		user = strings.Map(func(r rune) rune {
			if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, user)
	}
	d.traffic.Credentials[dragon.Credential{Username: user, Password: dragon.Secret(password)}]++
	actual, exists := d.users[user]
	switch {
	case d.has(LockedOut) != nil:
		d.traffic.RefusedLogins++
		p.failure("user locked, try again in 30 minutes")
	case !exists:
		d.traffic.RefusedLogins++
		p.failure("user not found")
	case d.model.api >= inno2018b && user == "guest" && password == "guest":
		// Always let in, whatever guest's password is now.
		d.accept(p, user, a.deviceNow)
	case d.has(WrongPassword) != nil || password != actual:
		d.traffic.RefusedLogins++
		p.failure("invalid password")
	case d.has(PasswordChange) != nil:
		p.success("needChange", true, "message", "please change the password")
	default:
		d.accept(p, user, a.deviceNow)
	}
}

func (d *Dragon) accept(p *php, user string, now time.Time) {
	d.traffic.Logins++
	p.success("jwt", d.token(user, now))
}

// Token returns a token as a login by user at this moment would.
func (d *Dragon) Token(user string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.token(user, d.deviceTime(d.advance()))
}

// issuer of a token. What InnoMiner firmware wrote is not known.
func (d *Dragon) issuer() string {
	if d.model.Brand == dragon.InnoMiner {
		return string(dragon.AsicMiner)
	}
	return string(d.model.Brand)
}

const jwtHeader = `{"typ":"JWT","alg":"HS256"}`

// token makes a JWT by hand because the order of its members is the recorded one.
func (d *Dragon) token(user string, now time.Time) string {
	enc := base64.RawURLEncoding
	claims := `{"iss":"` + d.issuer() + `","iat":` + strconv.FormatInt(now.Unix(), 10) +
		`,"exp":` + strconv.FormatInt(now.Add(tokenLife).Unix(), 10) + `,"user":"` + user + `"}`
	text := enc.EncodeToString([]byte(jwtHeader)) + "." + enc.EncodeToString([]byte(claims))
	return text + "." + enc.EncodeToString(d.sign(text))
}

// sign uses the key in /tmp, which lives as long as the system is up.
func (d *Dragon) sign(text string) []byte {
	epoch := uint64(d.state.boots) + d.keys<<16
	if d.has(WrongPassword) != nil || d.has(LockedOut) != nil || d.has(PasswordChange) != nil {
		epoch += 1 << 32
	}
	key := strconv.FormatUint(mix(mix(d.spec.Seed)+epoch), 36) + "key-of-this-boot"
	mac := hmac.New(sha256.New, []byte(key[:20]))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// tokenUser decodes a token: its signature, exp, and iat, which must not be in the
// future, all by the device's clock.
func (d *Dragon) tokenUser(token string, now time.Time) (user string, ok bool) {
	last := strings.LastIndexByte(token, '.')
	if last < 0 {
		return "", false
	}
	enc := base64.RawURLEncoding
	signature, err := enc.DecodeString(token[last+1:])
	if err != nil || !hmac.Equal(signature, d.sign(token[:last])) {
		return "", false
	}
	_, payload, _ := strings.Cut(token[:last], ".")
	text, err := enc.DecodeString(payload)
	if err != nil {
		return "", false
	}
	var claims struct {
		IssuedAt int64 `json:"iat"`
		Expires  int64 `json:"exp"`
		User     string
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return "", false
	}
	return claims.User, claims.IssuedAt <= now.Unix() && now.Unix() < claims.Expires
}

// updatePassword changes a password. Tokens stay valid.
func (d *Dragon) updatePassword(out *reply, a *request) {
	user, next := a.form.Get("user"), a.form.Get("newPassword")
	_, exists := d.users[user]
	switch {
	case a.form.Get("currentPassword") != d.users["admin"] || d.has(WrongPassword) != nil:
		out.failure("wrong current password")
	case !exists, d.model.innosilicon() && user != "admin":
		out.failure("invalid user")
	case next == "":
		out.failure("invalid new password")
	default:
		d.users[user] = next
		out.success()
	}
}

// SetPassword changes a user's password as someone else would, and makes all
// tokens invalid as a reboot after it would.
func (d *Dragon) SetPassword(user, password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[user] = password
	d.keys++
}
