package web

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Every field of the answers of this room is in docs/api.md, and so is every column
// that the fleet can be sorted by.
func TestTheAPIIsDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	seen := make(map[reflect.Type]bool)
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ.PkgPath() != reflect.TypeFor[FleetAnswer]().PkgPath() {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			if f.Anonymous {
				walk(f.Type)
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" {
				continue
			}
			if name == "" || !strings.Contains(doc, "`"+name+"`") {
				t.Errorf("%s.%s: %q is not there", typ.Name(), f.Name, name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[FleetAnswer]())
	walk(reflect.TypeFor[OneDragonAnswer]())
	if len(seen) < 10 {
		t.Errorf("%d types", len(seen))
	}
	for _, name := range orderNames {
		if orders[name] == nil || !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("the order %s is not there", name)
		}
	}
	if len(orderNames) != len(orders) {
		t.Errorf("%d orders, %d of them named", len(orders), len(orderNames))
	}
}

// Every request that the API takes is in docs/api.md.
func TestEveryRequestIsDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("api.go")
	if err != nil {
		t.Fatal(err)
	}
	if beside := regexp.MustCompile(`mux\.Handle\w*\("(GET|POST|DELETE) .*`).FindAllString(string(source), -1); len(beside) != 1 || !strings.Contains(beside[0], "/plan/compare") {
		t.Errorf("requests beside the table of openapi.go: %q", beside)
	}
	found := 0
	for _, o := range append(operations(), operation{request: "POST /api/v1/plan/compare"}) {
		m := regexp.MustCompile(`(GET|POST|DELETE) (/api/v1/(\w+)(/.*)?)`).FindStringSubmatch(o.request)
		found++
		whole, short := m[1]+" "+m[2], "`…"+m[4]+"`"
		if doc := string(data); !strings.Contains(doc, whole) && (m[1] != "POST" || !strings.Contains(doc, "/api/v1/"+m[3]+"/") || !strings.Contains(doc, short)) && m[1] != "DELETE" {
			t.Errorf("%s is not there", whole)
		}
	}
	if found < 15 {
		t.Errorf("%d requests", found)
	}
}

// What docs/api.md says to type has an answer.
func TestTheRequestsInTheDocumentationHaveAnswers(t *testing.T) {
	c := newClinic(t)
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`curl -s '?localhost:9977([^' ]+)`).FindAllStringSubmatch(string(data), -1) {
		found++
		path := strings.ReplaceAll(strings.TrimSpace(m[1]), "dragon-4500d1a8", c.worker)
		if body := c.look(false, path); !strings.HasPrefix(body, "{") {
			t.Errorf("%s: %s", path, body)
		}
	}
	if found != 5 {
		t.Errorf("%d requests, want 5", found)
	}
}
