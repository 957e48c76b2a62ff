package web

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

func TestRolloutsOfFirmwareByTheAPI(t *testing.T) {
	c := newClinic(t)
	dir := t.TempDir()
	image := dragontest.Image{Version: "t1_20191101_120000", Size: 1 << 16}
	digest := fmt.Sprintf("%x", sha256.Sum256(image.Bytes()))
	for name, data := range map[string][]byte{image.Name(): image.Bytes(), "SHA256SUMS": []byte(digest + "  " + image.Name() + "\n"), "t1_20200101_000000.swu": image.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stock := &firmware.Stock{Library: firmware.New(firmware.Config{Dir: dir, Kept: t.TempDir()}), Fleet: c.fleet}
	ask := func(admin bool, method, path, body string) (int, string) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		API(APIConfig{Fleet: c.fleet, Healer: c.healer, Admin: admin, Socket: true, Firmware: stock}).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, x := range []struct {
		admin        bool
		method, path string
		body         string
		code         int
		says         string
	}{
		{false, "GET", "/api/v1/firmware", "", http.StatusOK, digest},
		{false, "POST", "/api/v1/firmware/start", `{"version":"latest","model":"T1","owner":"ann","reason":"x"}`, http.StatusForbidden, "changes are disabled"},
		{true, "POST", "/api/v1/firmware/start", `{"version":"t1_20200101_000000","model":"T1","owner":"ann","reason":"x"}`, http.StatusNotFound, "does not pin it"},
		{true, "POST", "/api/v1/firmware/start", `{"version":"latest","model":"A9","owner":"ann","reason":"x"}`, http.StatusNotFound, "no known dragon"},
		{true, "POST", "/api/v1/firmware/start", `{"version":"latest","model":"T1","owner":"ann"}`, http.StatusBadRequest, "reason"},
		{true, "POST", "/api/v1/firmware/pause", `{"id":"f1","owner":"ann","reason":"x"}`, http.StatusNotFound, "no such rollout"},
		{true, "POST", "/api/v1/firmware/start", `{"version":"latest","model":"t1","owner":"ann","reason":"x"}`, http.StatusOK, `"id":"f1"`},
		{true, "POST", "/api/v1/firmware/start", `{"model":"t1","owner":"ann","reason":"x"}`, http.StatusConflict, "abort it first"},
		{true, "POST", "/api/v1/firmware/pause", `{"id":"f1","owner":"ann","reason":"x"}`, http.StatusOK, `"state":"paused"`},
		{true, "POST", "/api/v1/firmware/pause", `{"id":"f1","owner":"ann","reason":"x"}`, http.StatusConflict, "is paused"},
		{true, "POST", "/api/v1/firmware/resume", `{"id":"f1","owner":"ann","reason":"x"}`, http.StatusOK, `"state":"running"`},
		{true, "POST", "/api/v1/firmware/abort", `{"id":"f1","owner":"ann","reason":"x"}`, http.StatusOK, `"state":"aborted"`},
		{true, "POST", "/api/v1/firmware/abort", `{"id":"f1","owner":"ann","reason":"again"}`, http.StatusOK, `"state":"aborted"`},
		{true, "POST", "/api/v1/firmware/resume", `{"id":"f1","owner":"ann","reason":"x"}`, http.StatusConflict, "is aborted"},
	} {
		if code, body := ask(x.admin, x.method, x.path, x.body); code != x.code || !strings.Contains(body, x.says) {
			t.Errorf("%s %s: %d, want %d with %q\n%s", x.path, x.body, code, x.code, x.says, body)
		}
	}
	_, body := ask(false, "GET", "/api/v1/firmware", "")
	var a FirmwaresAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil || len(a.Images) != 1 || len(a.Wrong) != 1 || len(a.Rollouts) != 1 || len(a.Running) != 1 || a.Running[0].Dragons != 3 {
		t.Errorf("%v\n%s", err, body)
	}
	for i, d := range c.simulated.Dragons() {
		if w := d.Writes(); len(w) > 0 {
			t.Errorf("dragon %d was written to: %v", i, w)
		}
	}
}
