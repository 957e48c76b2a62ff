// Package installed finds the programs of others that tests use.
package installed

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a Debian package's program. Without it the test is skipped,
// but not in CI, which installs it.
func Tool(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing := t.Skipf
		if os.Getenv("CI") != "" {
			missing = t.Fatalf
		}
		missing("%s is not installed: apt-get install %s", name, pkg)
	}
	return path
}
