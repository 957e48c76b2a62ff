package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webConfig lets in who knows the password: "correct horse", as bcrypt has it.
const webConfig = `
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
basic_auth_users:
  operator: $2a$04$7FBSZS3HrB0.R.d1RCdxSeR3kkzMc4ZdJJHH0GXl3Lirhz7MAqd6q
`

const openToAll, localOnly = "admin API open without login", "admin API answers this machine only"

func TestTheAdminAPIBehindTLSAndAPassword(t *testing.T) {
	t.Parallel()
	w := prepareFarm(t, 2, 60, "healing: {default: {mode: enforce}}\n", nil)
	dir := t.TempDir()
	cert := selfSigned(t, dir)
	file := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(file, []byte(webConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start("--web.enable-admin-api", "--web.config.file="+file)
	base := strings.Replace(w.base, "http://", "https://", 1)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	ask := func(method, path, user, password string) (int, string) {
		t.Helper()
		body := strings.NewReader(`{"scope":"fleet","reason":"a visit","owner":"another name"}`)
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for _, path := range []string{"/api/v1/healer/pause", "/api/v1/healer/reboot"} {
		for _, x := range [][2]string{{"", ""}, {"operator", "battery staple"}, {"nobody", "correct horse"}} {
			if code, body := ask(http.MethodPost, path, x[0], x[1]); code != http.StatusUnauthorized {
				t.Errorf("%s as %q: %d %s, want 401", path, x[0], code, body)
			}
		}
	}
	if code, _ := ask(http.MethodGet, "/api/v1/plan", "", ""); code != http.StatusUnauthorized {
		t.Errorf("the plan without a password: %d, want 401", code)
	}
	eventually(t, "the pause is taken from who has the password", func() bool {
		code, body := ask(http.MethodPost, "/api/v1/healer/pause", "operator", "correct horse")
		return code == http.StatusOK && strings.Contains(body, `"owner":"operator"`)
	})
	_, page := ask(http.MethodGet, "/metrics", "operator", "correct horse")
	if !strings.Contains(page, `mother_pauses{scope="fleet"} 1`) {
		t.Error("the page does not show the pause")
	}

	// The pages, as a browser asks for them.
	for _, path := range []string{"/", "/healer", "/confirm?do=resume&id=p1", "/configuration", "/static/style.css"} {
		if code, _ := ask(http.MethodGet, path, "", ""); code != http.StatusUnauthorized {
			t.Errorf("%s without a password: %d, want 401", path, code)
		}
		if code, body := ask(http.MethodGet, path, "operator", "correct horse"); code != http.StatusOK || strings.Contains(body, "correct horse") || strings.Contains(body, "dragonadmin") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if _, page := ask(http.MethodGet, "/healer", "operator", "correct horse"); !strings.Contains(page, "confirm?do=resume&amp;id=p1") {
		t.Errorf("the healer's page has no way to end the pause:\n%s", page)
	}
	for _, x := range []struct {
		origin string
		code   int
	}{{"https://elsewhere.example.net", http.StatusForbidden}, {base, http.StatusOK}} {
		form := url.Values{"do": {"pause"}, "scope": {"fleet"}, "reason": {"by the page"}, "for": {"1h"}, "owner": {"another name"}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/confirm", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", x.origin)
		r.SetBasicAuth("operator", "correct horse")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != x.code {
			t.Errorf("a form from %s: %d %s, want %d", x.origin, resp.StatusCode, body, x.code)
		}
	}
	if _, history := ask(http.MethodGet, "/api/v1/history?n=50", "operator", "correct horse"); strings.Count(history, "by the page") != 1 || strings.Contains(history, "user:another") || !strings.Contains(history, `"actor":"user:operator"`) {
		t.Errorf("the audit does not say who has paused it:\n%s", history)
	}

	// The command, from another machine.
	address := strings.TrimPrefix(base, "https://")
	for password, want := range map[string]struct {
		status int
		said   string
	}{"correct%20horse": {0, "pause p1 of fleet"}, "battery": {1, "401"}} {
		cmd := exec.CommandContext(t.Context(), binary, "healer", "status", fmt.Sprintf("--url=https://operator:%s@%s", password, address))
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(dir, "cert.pem"))
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != want.status || !strings.Contains(string(out), want.said) || strings.Contains(string(out), password) {
			t.Errorf("exit status %d, want %d, %q, and no password in\n%s", cmd.ProcessState.ExitCode(), want.status, want.said, out)
		}
	}
	w.p.stop(t)
	if strings.Contains(w.p.logged(), openToAll) || strings.Contains(w.p.logged(), localOnly) {
		t.Error("an API that needs a password is said to need none")
	}
	for flag, said := range map[string]string{"--no-web.admin-api-without-login": localOnly, "--web.admin-api-without-login": openToAll} {
		w.start("--web.enable-admin-api", flag)
		w.p.stop(t)
		if !strings.Contains(w.p.logged(), said) {
			t.Errorf("with %s the log does not say %q", flag, said)
		}
	}
}

// selfSigned writes a certificate for this host's loopback address, and its key.
func selfSigned(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
