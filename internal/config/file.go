package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// largest is more than any configuration has; it keeps a wrong path from filling the memory.
const largest = 4 << 20

// complete reads the file, if there is one, and checks everything.
func (c *Config) complete() error {
	r := newReader()
	if c.File == "" {
		c.check(r, "")
		return r.failed("the options")
	}
	data, err := ReadFile(c.File)
	if err != nil {
		return err
	}
	r.document(data, &c.Settings)
	c.check(r, filepath.Dir(c.File))
	secret := slices.ContainsFunc(c.Logins, func(c credential) bool { return c.Password != "" }) ||
		slices.ContainsFunc(c.Profiles, func(p profile) bool {
			return slices.ContainsFunc(p.Desired.Pools, func(w desiredPool) bool { return len(w.Password) > 1 }) // x is none
		})
	if info, err := os.Stat(c.File); err == nil && secret && othersRead(info) {
		c.warn("%s contains passwords and others can read it: chmod 600", c.File)
	}
	return r.failed(c.File)
}

// PolicyOf is the healing policy that a configuration file with this content would give an
// instance that was started with the same flags. The rest of the file is not checked. Its
// password files are looked for beside the file of c.
func (c *Config) PolicyOf(data []byte) (*healer.Policy, error) {
	other, r := Config{Settings: *c.flags}, newReader()
	r.document(data, &other.Settings)
	other.checkRanges(r, "healing.")
	sites := other.adoptSites(r)
	other.Healing = newHealing(r, &other.Settings, sites)
	other.Desired = other.newDesiredStates(r, sites, filepath.Dir(c.File))
	other.Policy.Desired = other.Desired.Of
	if err := r.failed("the file"); err != nil {
		return nil, err
	}
	return other.Healing.Policy(), nil
}

// ReadFile reads a configuration file as it stands.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if info.Size() > largest {
		return nil, fmt.Errorf("configuration file %s: %d bytes, expected at most %d", path, info.Size(), largest)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("configuration file: %s is a directory", path)
	}
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest+1)) // a device has no size
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if len(data) > largest {
		return nil, fmt.Errorf("configuration file %s: more than %d bytes", path, largest)
	}
	return data, nil
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func othersRead(info fs.FileInfo) bool { return info.Mode().Perm()&0o004 != 0 }

// check says what is wrong with the settings, and makes everything that follows from them.
func (c *Config) check(r *reader, dir string) {
	c.read = r
	c.checkRanges(r, "")
	if c.DataDir == "" {
		r.at("data_dir", "is empty; write . for the working directory")
	}
	sites := c.adoptSites(r)
	c.adoptLabels(r, dir)
	c.checkWeb(r)
	c.adoptCredentials(r, dir, sites)
	c.adoptHA(r, dir)
	c.adoptNotify(r, dir)
	c.adoptCalendars(r)
	c.checkPower(r)
	c.Healing = newHealing(r, &c.Settings, sites)
	c.Desired = c.newDesiredStates(r, sites, dir)
	c.Policy.Desired = c.Desired.Of
	if c.CheckInterval > longestPoll && !r.has("healing.poll") {
		c.warn("--dragon-health-check-interval=%s: dragons are sampled every %s, because the healer counts samples", Span(c.CheckInterval), Span(longestPoll))
	}
	if len(r.problems) == 0 {
		c.addWarnings()
	}
}

// checkRanges says which values are out of their range, of keys that begin with prefix. Those
// of healing.default are checked together with the profiles.
func (c *Config) checkRanges(r *reader, prefix string) {
	for _, row := range table() {
		if row.from != "" && strings.HasPrefix(row.key, prefix) && !strings.HasPrefix(row.key, "healing.default.") {
			each(reflect.ValueOf(&c.Settings).Elem(), "", row.key, func(path string, v reflect.Value) {
				if wrong := row.outOfRange(v); wrong != "" {
					r.at(path, "%s", wrong)
				}
			})
		}
	}
}
