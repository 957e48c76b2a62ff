package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// strict is the document that the API serves, in which no object has a field that it does not name.
func strict(t *testing.T, c *clinic) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.look(false, "/api/v1/openapi.json")), &doc); err != nil {
		t.Fatal(err)
	}
	var close func(v any)
	close = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, named := v["properties"].(map[string]any); named && v["type"] == "object" {
				v["additionalProperties"] = false
			}
			for _, inner := range v {
				close(inner)
			}
		case []any:
			for _, inner := range v {
				close(inner)
			}
		}
	}
	close(doc)
	return doc
}

// schemaOf is the schema at a place of a document.
func schemaOf(t *testing.T, doc map[string]any, place ...string) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	for i := range place {
		place[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(place[i])
	}
	s, err := compiler.Compile("openapi.json#/" + strings.Join(place, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return s.Validate(v)
}

// Every answer is as the document says, and has no field that is not in it.
func TestAnswersAreAsOpenAPISays(t *testing.T) {
	c := newClinic(t)
	doc := strict(t, c)
	const body = `{"scope": "fleet", "for": "1h", "reason": "test", "owner": "test"}`
	for _, x := range []struct {
		operation, path, body string
		status                int
	}{
		{"GET /api/v1/dragons", "/api/v1/dragons?group=model", "", 200},
		{"GET /api/v1/dragons", "/api/v1/dragons?format=xml", "", 400},
		{"GET /api/v1/dragon/{worker}", "/api/v1/dragon/" + c.worker, "", 200},
		{"GET /api/v1/dragon/{worker}", "/api/v1/dragon/unknown", "", 404},
		{"POST /api/v1/healer/pause", "/api/v1/healer/pause", body, 200},
		{"POST /api/v1/healer/pause", "/api/v1/healer/pause", `{"scope": "fleet"}`, 400},
		{"POST /api/v1/healer/maintenance", "/api/v1/healer/maintenance", body, 200},
		{"POST /api/v1/healer/quarantine", "/api/v1/healer/quarantine", `{"dragon": "` + c.worker + `", "reason": "test", "owner": "test"}`, 200},
		{"POST /api/v1/healer/restart", "/api/v1/healer/restart", `{"dragon": "` + c.worker + `", "reason": "test", "owner": "test"}`, 409},
		{"GET /api/v1/history", "/api/v1/history", "", 200},
		{"GET /api/v1/rollouts", "/api/v1/rollouts", "", 200},
		{"GET /api/v1/discovery", "/api/v1/discovery", "", 200},
		{"GET /api/v1/plan", "/api/v1/plan", "", 200},
		{"GET /api/v1/plan", "/api/v1/plan?why=" + c.worker, "", 200},
		{"GET /api/v1/healer", "/api/v1/healer", "", 200},
		{"GET /api/v1/firmware", "/api/v1/firmware", "", 200},
	} {
		method, where, _ := strings.Cut(x.operation, " ")
		if x.body != "" {
			if err := validate(t, schemaOf(t, doc, "components", "schemas", "Request"), x.body); err != nil {
				t.Errorf("%s: the request: %v", x.path, err)
			}
		}
		status, text := c.ask(true, method, x.path, x.body)
		if status != x.status {
			t.Errorf("%s: %d, want %d: %s", x.path, status, x.status, text)
			continue
		}
		response := "default"
		if status == http.StatusOK {
			response = "200"
		}
		s := schemaOf(t, doc, "paths", where, strings.ToLower(method), "responses", response, "content", "application/json", "schema")
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", x.path, err)
		}
	}
}

// A field that the document lacks is found, and one that the answer lacks.
func TestAMissingFieldIsFound(t *testing.T) {
	c := newClinic(t)
	_, text := c.ask(false, "GET", "/api/v1/dragons", "")
	schema := func(change func(schemas map[string]any)) error {
		doc := strict(t, c)
		change(doc["components"].(map[string]any)["schemas"].(map[string]any))
		return validate(t, schemaOf(t, doc, "components", "schemas", "FleetAnswer"), text)
	}
	if err := schema(func(map[string]any) {}); err != nil {
		t.Error(err)
	}
	if err := schema(func(s map[string]any) {
		delete(s["DragonAnswer"].(map[string]any)["properties"].(map[string]any), "temperature")
	}); err == nil || !strings.Contains(err.Error(), "temperature") {
		t.Errorf("a field that is not in the document: %v", err)
	}
	if err := schema(func(s map[string]any) {
		s["DragonAnswer"].(map[string]any)["required"] = []any{"power"}
	}); err == nil || !strings.Contains(err.Error(), "power") {
		t.Errorf("a field that is not in the answer: %v", err)
	}
}

// Every request of the document is served, and each has an ID of its own.
func TestOpenAPIHasEveryRequest(t *testing.T) {
	mux := newAPI(APIConfig{}).handler().(*http.ServeMux)
	ids := map[string]string{}
	for _, o := range operations() {
		method, path, _ := strings.Cut(o.request, " ")
		if _, pattern := mux.Handler(httptest.NewRequest(method, placeholder.ReplaceAllString(path, "x"), nil)); pattern != o.request {
			t.Errorf("%s is served as %q", o.request, pattern)
		}
		id := operationID(o.request)
		if other := ids[id]; other != "" {
			t.Errorf("%s and %s are both %s", o.request, other, id)
		}
		ids[id] = o.request
	}
	if ids["postHealerPause"] != "POST /api/v1/healer/pause" {
		t.Errorf("%v", ids)
	}
	for name, s := range openAPI()["components"].(object)["schemas"].(object) {
		for field, of := range s.(object)["properties"].(object) {
			if reflect.DeepEqual(of, object{}) && name != "ConfigAnswer" {
				t.Errorf("%s.%s may be anything", name, field)
			}
		}
	}
}
