package dragon

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFirmwareVersions(t *testing.T) {
	built := time.Date(2018, 5, 15, 6, 8, 42, 0, time.UTC)
	for version, want := range map[string]FirmwareVersion{
		"t1_20180515_060842":       {"t1", "", built},
		"T2TH+_20180515_060842":    {"t2th+", "", built},
		"t2t_a_20180515_060842":    {"t2t", "a", built},
		"t3_soc.1_20180515_060842": {"t3", "soc.1", built},
		"azAZ_09_20180515_060842":  {"azaz", "09", built},
	} {
		if got, err := ParseFirmware(version); err != nil || got != want {
			t.Errorf("%s: %v, %v", version, got, err)
		}
	}
	for _, version := range []string{
		"", "t1", "t1_20180515", "20180515_060842", "t1_20180515_060842_1_2", "t1_20181315_060842", "t1_20180515_250842",
		"../t1_20180515_060842", "t1/x_20180515_060842", "t1_.._20180515_060842", "t1__20180515_060842", "_20180515_060842",
		"t1_2018515_0060842", "t1 _20180515_060842", "t1\x00_20180515_060842", "t1_20180515_060842\n", strings.Repeat("t", 60) + "_20180515_060842",
		"t`_20180515_060842", "t{_20180515_060842", "t@_20180515_060842", "t[_20180515_060842", "t:_20180515_060842",
	} {
		if got, err := ParseFirmware(version); err == nil {
			t.Errorf("%q: taken as %v", version, got)
		}
	}
}

func TestFirmwareFitsAModelAndFollowsOlderVersions(t *testing.T) {
	parse := func(s string) FirmwareVersion {
		v, err := ParseFirmware(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		version, model, hwver string
		fits                  bool
	}{
		{"t1_20180515_060842", "T1", "g19", true},
		{"t1_20180515_060842", "t1", "", true},
		{"t1_20180515_060842", "T2", "g19", false},
		{"t1_20180515_060842", "T1", "soc", false},
		{"t1_a_20180515_060842", "T1", "soc", true},
		{"t1_a_20180515_060842", "T1", "g19", false},
	} {
		if err := parse(c.version).Fits(c.model, c.hwver); (err == nil) != c.fits {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, c := range []struct {
		from, to string
		follows  bool
	}{
		{"t1_20180515_060842", "t1_20180515_060843", true},
		{"t1_20180515_060842", "t1_20180515_060842", false},
		{"t1_20180515_060842", "t1_20170515_060842", false},
		{"t1_20180515_060842", "t2_20190515_060842", false},
		{"t1_a_20180515_060842", "t1_b_20190515_060842", false},
		{"t1_a_20180515_060842", "t1_a_20190515_060842", true},
	} {
		if err := parse(c.to).Follows(parse(c.from)); (err == nil) != c.follows {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func FuzzFirmwareVersion(f *testing.F) {
	for _, s := range []string{"t1_20180515_060842", "t2t_a_20190102_030405", "../t1_20180515_060842", "t1_20180515"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseFirmware(s)
		if err != nil {
			return
		}
		if !filepath.IsLocal(s) || filepath.Base(s) != s || len(s) > maxVersion {
			t.Errorf("%q is not a file name", s)
		}
		if built := v.Built.Format("20060102_150405"); !strings.HasSuffix(s, built) {
			t.Errorf("%q: built %s", s, built)
		}
		if v.Follows(v) == nil {
			t.Errorf("%q follows itself", s)
		}
	})
}
