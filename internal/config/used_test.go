package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// selected returns the names of all fields and methods that the program's code outside this
// package selects.
func selected(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "tools" || path == "../../internal/config" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != "../.."):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				names[s.Sel.Name] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// readHere are the settings that this package reads itself, for what it hands out.
var readHere = map[string]string{
	"AutotuneMode":  "of its flag; the desired state follows from it",
	"CheckInterval": "of its flag; healing.poll follows from it",
	"CalendarList":  "Calendars follow from it",
	"beside":        "Beside returns it",
}

func TestEverySettingIsReadSomewhere(t *testing.T) {
	used := selected(t)
	var visit func(path string, typ reflect.Type)
	visit = func(path string, typ reflect.Type) {
		for f := range typ.Fields() {
			name := strings.TrimPrefix(path+"."+f.Name, ".")
			switch {
			case f.Type == reflect.TypeFor[healer.Policy](): // the healer's own
			case f.Type.Kind() == reflect.Struct && !isScalar(f.Type) && f.Type.Name() == "":
				visit(name, f.Type)
			case !used[f.Name] && readHere[name] == "":
				t.Errorf("%s: a setting that no code outside this package reads", name)
			}
		}
	}
	visit("", reflect.TypeFor[Settings]())
}
