package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
)

// A certificate that is gone or half written while the program runs is in the log, once, and so is its return.
func TestAWebConfigurationThatBreaksIsLogged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{}\n")
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		go watchWebConfig(t.Context(), file, log.NewLogfmtLogger(&b))
		logged := func() []string {
			time.Sleep(3 * webConfigEvery)
			synctest.Wait()
			defer b.Reset()
			return strings.Split(strings.TrimSpace(b.String()), "\n")
		}
		if lines := logged(); lines[0] != "" {
			t.Errorf("while it is well: %q", lines)
		}
		write("tls_server_config: {cert_file: gone.pem, key_file: gone.key}\n")
		if lines := logged(); len(lines) != 1 || !strings.Contains(lines[0], "level=error") || !strings.Contains(lines[0], "gone.pem") {
			t.Errorf("without its certificate: %q", lines)
		}
		write("{}\n")
		if lines := logged(); len(lines) != 1 || !strings.Contains(lines[0], "usable again") {
			t.Errorf("when it is well again: %q", lines)
		}
	})
}
