package healer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pure lists what this package may import. Everything that has an effect, or that could
// give two answers to one question, is in internal/agent.
var pure = []string{
	"cmp", "crypto/sha256", "encoding/hex", "encoding/json", "errors", "fmt", "hash/fnv", "iter", "maps", "math", "math/bits",
	"net/netip", "slices", "strconv", "strings", "time",
	"github.com/brndnmtthws/mother-of-dragons/dragon",
}

// impure are the names of package time that read a clock or wait for one. Zones are
// looked up, once, where a policy is checked: see Window.Validate.
var impure = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestTheDecisionsArePure(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(pure, path) {
				t.Errorf("%s imports %s: effects belong to internal/agent", e.Name(), path)
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.SelectorExpr:
				if p, ok := x.X.(*ast.Ident); ok && p.Name == "time" && p.Obj == nil && slices.Contains(impure, x.Sel.Name) {
					t.Errorf("%s: time.%s: the time is an argument", files.Position(x.Pos()), x.Sel.Name)
				}
			case *ast.GoStmt, *ast.SendStmt, *ast.SelectStmt, *ast.ChanType:
				t.Errorf("%s: no goroutines and no channels here", files.Position(n.Pos()))
			}
			return true
		})
	}
}
