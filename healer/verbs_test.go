package healer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// audit --decision refuses what is not in the list.
func TestEveryVerbOfTheAuditIsListed(t *testing.T) {
	for file, kind := range map[string]string{"plan.go": "Verb", "memory.go": "Outcome"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if of, ok := v.Type.(*ast.Ident); !ok || of.Name != kind || len(v.Values) == 0 {
				return true
			}
			word, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			found++
			if word != "" && !slices.Contains(AuditVerbs, Verb(word)) {
				t.Errorf("%s is not listed", word)
			}
			return true
		})
		if found < 8 {
			t.Errorf("%s: only %d found", kind, found)
		}
	}
}
