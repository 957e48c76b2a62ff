package farmtest

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var files = flag.String("script", "", "farm scripts to run, separated by commas: -run TestScriptFile -v prints what happened")

// TestScriptFile runs the script of -script and prints its audit log.
func TestScriptFile(t *testing.T) {
	if *files == "" {
		t.Skip("with -script FILE")
	}
	for name := range strings.SplitSeq(*files, ",") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := Run(s, Options{CheckStore: true})
		t.Logf("%s\n%s", name, r.Log())
		for _, f := range r.Oracle.Failures {
			t.Errorf("%s: %s", name, f)
		}
	}
}
