package web

import (
	"encoding"
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// An operation is a request of the API, as OpenAPI describes it.
type operation struct {
	request string // method and path
	summary string
	query   []string // the names of its parameters
	answer  reflect.Type
}

// operations are all requests that a client may make over the network.
func operations() []operation {
	text := reflect.TypeFor[string]()
	pause, action, rollout := reflect.TypeFor[PauseAnswer](), reflect.TypeFor[healer.Action](), reflect.TypeFor[*healer.FirmwareShown]()
	return []operation{
		{"GET /api/v1/dragons", "The known dragons.",
			[]string{"q", "state", "model", "site", "label", "sort", "group", "format", "per", "page"}, reflect.TypeFor[FleetAnswer]()},
		{"GET /api/v1/dragon/{worker}", "One dragon, by worker, MAC or address.", nil, reflect.TypeFor[OneDragonAnswer]()},
		{"GET /api/v1/history", "Decisions and actions, newest first.", []string{"n", "dragon", "since", "kind"}, reflect.TypeFor[HistoryAnswer]()},
		{"GET /api/v1/rollouts", "Rollouts of pools, autotune modes and firmware.", nil, reflect.TypeFor[RolloutsAnswer]()},
		{"GET /api/v1/config", "The active configuration, passwords masked.", nil, reflect.TypeFor[ConfigAnswer]()},
		{"GET /api/v1/discovery", "How the last scan went.", nil, reflect.TypeFor[DiscoveryAnswer]()},
		{"GET /api/v1/plan", "What the healer would do now, and why.", []string{"why"}, reflect.TypeFor[PlanAnswer]()},
		{"GET /api/v1/healer", "The healer: mode, budgets, breakers, pauses.", nil, reflect.TypeFor[HealerAnswer]()},
		{"GET /api/v1/firmware", "Firmware images, offers and rollouts.", nil, reflect.TypeFor[FirmwaresAnswer]()},
		{"GET /api/v1/openapi.json", "This document.", nil, reflect.TypeFor[map[string]any]()},
		{"POST /api/v1/firmware/start", "Start a firmware rollout.", nil, reflect.TypeFor[healer.FirmwareRollout]()},
		{"POST /api/v1/firmware/pause", "Pause a firmware rollout.", nil, rollout},
		{"POST /api/v1/firmware/resume", "Resume a firmware rollout.", nil, rollout},
		{"POST /api/v1/firmware/abort", "Abort a firmware rollout.", nil, rollout},
		{"POST /api/v1/healer/pause", "Pause the healer for part of the fleet.", nil, pause},
		{"POST /api/v1/healer/maintenance", "Put part of the fleet into maintenance.", nil, pause},
		{"POST /api/v1/healer/curtailment", "Give part of the fleet another autotune mode for a while.", nil, pause},
		{"POST /api/v1/healer/resume", "End a pause, a maintenance or a curtailment.", nil, text},
		{"DELETE /api/v1/healer/pause/{id}", "End a pause.", nil, text},
		{"DELETE /api/v1/healer/maintenance/{id}", "End a maintenance.", nil, text},
		{"POST /api/v1/healer/quarantine", "Put a dragon into quarantine.", nil, text},
		{"POST /api/v1/healer/release", "Release a dragon from quarantine.", nil, text},
		{"DELETE /api/v1/healer/quarantine/{dragon}", "Release a dragon from quarantine.", nil, text},
		{"POST /api/v1/healer/ack", "Acknowledge a breaker or an aborted rollout.", nil, text},
		{"POST /api/v1/healer/pace", "Make a rollout of a configuration fast, or not.", nil, text},
		{"POST /api/v1/healer/restart", "Restart the miner process of a dragon.", nil, action},
		{"POST /api/v1/healer/reboot", "Reboot a dragon.", nil, action},
		{"POST /api/v1/healer/record", "Record what was done without the healer.", nil, text},
		{"POST /api/v1/inventory/accept", "Accept new dragons.", nil, reflect.TypeFor[[]string]()},
		{"POST /api/v1/inventory/forget", "Forget a dragon.", nil, text},
		{"POST /api/v1/inventory/retire", "Retire a dragon.", nil, pause},
		{"POST /api/v1/inventory/unretire", "End the retirement of a dragon.", nil, text},
		{"POST /api/v1/inventory/look", "Ask who lives at an address.", nil, reflect.TypeFor[bool]()},
	}
}

type object = map[string]any

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// openAPI describes the API in OpenAPI 3.1: the schemas are made from the types of the answers.
var openAPI = sync.OnceValue(func() object {
	s := schemas{made: object{}, names: map[string]reflect.Type{}}
	paths := object{}
	for _, o := range operations() {
		method, where, _ := strings.Cut(o.request, " ")
		parameters := []object{}
		for _, m := range placeholder.FindAllStringSubmatch(where, -1) {
			parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
		}
		for _, name := range o.query {
			parameters = append(parameters, object{"name": name, "in": "query", "schema": object{"type": "string"}})
		}
		answer := s.of(o.answer)
		if method != http.MethodGet {
			answer = object{"type": "object", "required": []string{"result"}, "properties": object{
				"result": answer, "warning": object{"type": "string", "description": "What is in force and was not written down."},
			}}
		}
		described := object{
			"operationId": operationID(o.request), "tags": []string{tag(method)}, "summary": o.summary, "parameters": parameters, "responses": object{
				"200":     object{"description": "The answer.", "content": asJSON(answer)},
				"default": object{"description": "The request was refused.", "content": asJSON(s.of(reflect.TypeFor[ErrorAnswer]()))},
			},
		}
		if method != http.MethodGet {
			described["requestBody"] = object{"required": method == http.MethodPost, "content": asJSON(s.of(reflect.TypeFor[request]()))}
		}
		if paths[where] == nil {
			paths[where] = object{}
		}
		paths[where].(object)[strings.ToLower(method)] = described
	}
	delete(s.made["Request"].(object), "required") // each request has its own
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "mother-of-dragons", "version": "v1", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "v1 may gain fields; none is renamed or changes its meaning. An unknown value is null, never zero."},
		"paths": paths, "components": object{"schemas": s.made},
	}
})

// operationID is what a generated client calls an operation: getDragons, postHealerPause.
func operationID(request string) string {
	method, where, _ := strings.Cut(request, " ")
	words := strings.FieldsFunc(placeholder.ReplaceAllString(strings.TrimPrefix(where, "/api/v1/"), ""), func(r rune) bool { return r == '/' || r == '.' })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.ToLower(method) + strings.Join(words, "")
}

// tag is the group of an operation: one that reads changes nothing.
func tag(method string) string {
	if method == http.MethodGet {
		return "read"
	}
	return "control"
}

func asJSON(schema object) object {
	return object{"application/json": object{"schema": schema}}
}

func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, openAPI()) }

// schemas are the named schemas of a document, made from Go types as encoding/json writes them.
type schemas struct {
	made  object
	names map[string]reflect.Type
}

func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == nil:
		return object{}
	case t == reflect.TypeFor[dragon.Number]():
		return object{"type": []string{"number", "null"}, "format": "double"}
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[healer.Span]():
		return object{"type": "number", "format": "double", "description": "seconds"}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": "string"}
	case t.Implements(reflect.TypeFor[json.Marshaler]()):
		return object{} // a type that writes itself needs a case above to say more
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float64:
		return object{"type": "number", "format": "double"}
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Pointer:
		return object{"anyOf": []object{s.of(t.Elem()), {"type": "null"}}}
	case reflect.Slice, reflect.Array:
		return object{"type": []string{"array", "null"}, "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return object{"$ref": "#/components/schemas/" + s.named(t)}
	}
	return object{}
}

// named makes the schema of a struct, and returns its name: that of the type, with its
// package where another type has it.
func (s *schemas) named(t reflect.Type) string {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if other := s.names[name]; other != nil && other != t {
		name = path.Base(t.PkgPath()) + "." + name
	}
	if s.names[name] != nil {
		return name
	}
	s.names[name] = t
	properties, required := object{}, []string{}
	s.fields(t, properties, &required)
	slices.Sort(required)
	s.made[name] = object{"type": "object", "properties": properties, "required": required}
	return name
}

// fields adds the fields of a struct; those of embedded ones come after, because outer fields win.
func (s *schemas) fields(t reflect.Type, properties object, required *[]string) {
	var embedded []reflect.Type
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			embedded = append(embedded, inner)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		if properties[name] != nil {
			continue
		}
		properties[name] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
	for _, inner := range embedded {
		s.fields(inner, properties, required)
	}
}
