package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// A mutant is one change of one file. All of a sample are compiled into one program, where
// the environment chooses one.
type mutant struct {
	file, function string // the file from the root of the tree
	line           int
	from, to       string // what is read in the report, on one line
	begin, end     int    // the bytes that are replaced
	text           string // by this, with mark for the number of the mutant
}

// mark is what the text of a mutant has in the place of its number.
const mark = "\x00"

// chooser is a further file of the package, after its package clause.
const chooser = `
import ("os"; "strconv")
var mutantNumber, _ = strconv.Atoi(os.Getenv("MUTANT"))
func mutantIs(id int) bool { return id == mutantNumber }
func mutantError(id int, err error) error { if mutantIs(id) { return nil }; return err }
func mutantSign[T ~int|~int32|~int64|~uint|~uint32|~uint64|~float64](id int, v T) T { if mutantIs(id) { return -v }; return v }
`

// String is the name of a mutant in the list of equivalent ones: it survives a change of
// lines.
func (m mutant) String() string {
	return m.file + " " + m.function + ": " + m.from + " => " + m.to
}

var turned = map[token.Token][]string{
	token.LSS: {"<=", ">="}, token.LEQ: {"<", ">"}, token.GTR: {">=", "<="}, token.GEQ: {">", "<"},
	token.EQL: {"!="}, token.NEQ: {"=="}, token.LAND: {"||"}, token.LOR: {"&&"},
}

type finder struct {
	file   string
	src    []byte
	fset   *token.FileSet
	inside string // the function
	found  []mutant
}

// mutants are all changes of one file, in its order.
func mutants(file string, src []byte) ([]mutant, error) {
	f := finder{file: file, src: src, fset: token.NewFileSet()}
	tree, err := parser.ParseFile(f.fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, decl := range tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			f.inside = d.Name.Name
			if d.Recv != nil && len(d.Recv.List) == 1 {
				f.inside = strings.TrimLeft(f.text(d.Recv.List[0].Type), "*") + "." + d.Name.Name
			}
			if d.Body != nil {
				f.walk(d.Body, d.Type.Results)
			}
		case *ast.GenDecl: // the functions in a table
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
					f.inside = v.Names[0].Name
					f.walk(v, nil)
				}
			}
		}
	}
	return f.found, nil
}

func (f *finder) walk(root ast.Node, results *ast.FieldList) {
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.walk(n.Body, n.Type.Results)
			return false
		case *ast.BinaryExpr:
			f.operator(n)
		case *ast.IfStmt:
			if b, ok := n.Cond.(*ast.BinaryExpr); !ok || b.Op == token.LAND || b.Op == token.LOR {
				f.condition(n.Cond, "!("+f.text(n.Cond)+")")
			}
			f.drop(n.Body)
			if other, ok := n.Else.(*ast.BlockStmt); ok {
				f.drop(other)
			}
		case *ast.ReturnStmt:
			last := len(n.Results) - 1
			if last < 0 || results == nil || results.NumFields() != len(n.Results) {
				break // it returns what a call returns
			}
			of := results.List[len(results.List)-1].Type
			if err := n.Results[last]; f.text(of) == "error" && f.text(err) != "nil" {
				before := string(f.src[f.offset(n.Pos()):f.offset(err.Pos())])
				f.add(n, before+"nil", before+"mutantError("+mark+", "+f.text(err)+")")
			}
		case *ast.AssignStmt:
			if n.Tok == token.ADD_ASSIGN || n.Tok == token.SUB_ASSIGN {
				f.sign(n, n.Tok, f.text(n.Lhs[0]), n.Rhs[0])
			}
		}
		return true
	})
}

func (f *finder) operator(n *ast.BinaryExpr) {
	for _, to := range turned[n.Op] {
		f.condition(n, f.text(n.X)+" "+to+" "+f.text(n.Y))
	}
	if (n.Op == token.ADD || n.Op == token.SUB) && !isString(n.X) && !isString(n.Y) {
		f.sign(n, n.Op, f.text(n.X), n.Y)
	}
}

func (f *finder) condition(n ast.Expr, to string) {
	f.add(n, to, "(mutantIs("+mark+") && ("+strings.ReplaceAll(to, "\n", " ")+") || !mutantIs("+mark+") && ("+f.text(n)+"))")
}

func (f *finder) sign(n ast.Node, op token.Token, x string, y ast.Expr) {
	to := map[token.Token]string{token.ADD: " - ", token.SUB: " + ", token.ADD_ASSIGN: " -= ", token.SUB_ASSIGN: " += "}[op]
	f.add(n, x+to+f.text(y), x+" "+op.String()+" mutantSign("+mark+", "+f.text(y)+")")
}

// drop takes out each statement of a branch, but for declarations and lines of the log.
func (f *finder) drop(body *ast.BlockStmt) {
	for _, stmt := range body.List {
		switch s := stmt.(type) {
		case *ast.DeclStmt:
			continue
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok {
				if called, ok := call.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "Log" {
					continue
				}
			}
		}
		f.add(stmt, "nothing", "if !mutantIs("+mark+") { "+f.text(stmt)+" }")
	}
}

func (f *finder) add(n ast.Node, to, text string) {
	f.found = append(f.found, mutant{file: f.file, function: f.inside, line: f.fset.Position(n.Pos()).Line,
		from: oneLine(f.text(n)), to: oneLine(to), begin: f.offset(n.Pos()), end: f.offset(n.End()), text: text})
}

func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }

func (f *finder) text(n ast.Node) string {
	return string(f.src[f.offset(n.Pos()):f.offset(n.End())])
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func isString(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return isString(e.X) || isString(e.Y)
	}
	return false
}
