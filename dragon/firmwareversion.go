package dragon

import (
	"fmt"
	"strings"
	"time"
)

// FirmwareVersion is a parsed firmware version: t1_20180515_060842, or
// t2t_a_20190102_030405 on soc boards.
type FirmwareVersion struct {
	Model string    // in lower case, such as t1
	Line  string    // the second of four parts; empty where there are three
	Built time.Time // date and time as written; the zone is unknown
}

const maxVersion = 64 // letters; the longest known has 25

// ParseFirmware parses a version strictly: a valid one is safe as a file name.
func ParseFirmware(version string) (FirmwareVersion, error) {
	bad := func(why string) (FirmwareVersion, error) {
		return FirmwareVersion{}, fmt.Errorf("firmware version %.*q: %s; expected one like t1_20180515_060842 or t2t_a_20190102_030405", maxVersion, version, why)
	}
	parts := strings.Split(version, "_")
	switch {
	case len(version) > maxVersion:
		return bad("it is too long")
	case len(parts) != 3 && len(parts) != 4:
		return bad(fmt.Sprintf("%d parts", len(parts)))
	}
	for _, p := range parts {
		if p == "" || p[0] == '.' || p[0] == '-' || strings.ContainsFunc(p, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '.' && r != '-'
		}) {
			return bad("a part is empty or has letters that do not belong there")
		}
	}
	stamp := parts[len(parts)-2:]
	if len(stamp[0]) != 8 || len(stamp[1]) != 6 {
		return bad("it has no date and time")
	}
	built, err := time.Parse("20060102150405", stamp[0]+stamp[1])
	if err != nil {
		return bad("it has no date and time")
	}
	v := FirmwareVersion{Model: strings.ToLower(parts[0]), Built: built}
	if len(parts) == 4 {
		v.Line = strings.ToLower(parts[1])
	}
	return v, nil
}

// Fits returns why this firmware does not fit a model and hardware version, such as T1 and
// g19; nil if it fits.
func (v FirmwareVersion) Fits(model, hwver string) error {
	if v.Model != strings.ToLower(model) {
		return fmt.Errorf("it is for a %s, not for a %s", strings.ToUpper(v.Model), model)
	}
	if soc := strings.EqualFold(hwver, "soc"); soc != (v.Line != "") {
		return fmt.Errorf("its version is not of the form that hardware %s has", hwver)
	}
	return nil
}

// Follows returns why this is not an upgrade of an older version; nil if it was built
// later and belongs to the same line.
func (v FirmwareVersion) Follows(old FirmwareVersion) error {
	switch {
	case v.Model != old.Model || v.Line != old.Line:
		return fmt.Errorf("it is of another line")
	case !v.Built.After(old.Built):
		return fmt.Errorf("it was built on %s, not after %s", v.Built.Format(time.DateTime), old.Built.Format(time.DateTime))
	}
	return nil
}
