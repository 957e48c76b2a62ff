package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// What a write is sent through knows nothing else: the compiler holds that.
var _ device = (*dragon.Client)(nil)

// What cannot be undone has no name in this package: neither in what a dragon is seen
// through, nor anywhere that gets hold of a whole client.
func TestTheHealerCannotAskForWhatCannotBeUndone(t *testing.T) {
	var methods []string
	for m := range reflect.TypeFor[device]().Methods() {
		methods = append(methods, m.Name)
	}
	if want := []string{"AutoTune", "Overview", "Pools", "Reboot", "RestartCgMiner", "SetAutoTune", "UpdatePools", "UpgradeUpload", "WatchUpgrade"}; !slices.Equal(methods, want) {
		t.Errorf("a device can be asked for %v, want %v: is it meant to be so?", methods, want)
	}

	forbidden := []string{"PowerOff", "FactoryReset", "UpdateNetwork", "UpdatePassword", "Fetch", "UpgradeDownload"}
	client := reflect.TypeFor[*dragon.Client]()
	for _, name := range forbidden {
		if _, ok := client.MethodByName(name); !ok {
			t.Errorf("dragon.Client has no %s any more: what is it called now?", name)
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(forbidden, s.Sel.Name) {
				t.Errorf("%s asks for %s", e.Name(), s.Sel.Name)
			}
			return true
		})
		for _, i := range parsed.Imports {
			if path := strings.Trim(i.Path.Value, `"`); path == "net/http" || path == "net" || path == "reflect" {
				t.Errorf("%s imports %s: all traffic goes through a dragon's lane", e.Name(), path)
			}
		}
	}
	if files < 15 {
		t.Errorf("only %d files were looked at", files)
	}
}
