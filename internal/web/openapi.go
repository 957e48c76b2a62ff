package web

import (
	"context"
	"encoding"
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// An operation is a request of the API that a client may make over the network.
type operation struct {
	request string // method and path
	summary string
	query   []string     // the names of its parameters
	answer  reflect.Type // of a change its result
	serve   func(*api) http.Handler
}

type (
	reader func(*api, http.ResponseWriter, *http.Request)
	doer   func(*api, context.Context, *Request) (any, error) // returns the result of a change
)

func answersWith[T any](request, summary string, show reader, query ...string) operation {
	return operation{request, summary, query, reflect.TypeFor[T](), func(a *api) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { show(a, w, r) })
	}}
}

func resultsIn[T any](request, summary string, do doer) operation {
	return operation{request, summary, nil, reflect.TypeFor[T](), func(a *api) http.Handler { return a.change(do) }}
}

func operations() []operation {
	return []operation{
		answersWith[FleetAnswer]("GET /api/v1/dragons", "The known dragons.", (*api).dragons,
			"q", "state", "model", "site", "label", "sort", "group", "format", "per", "page"),
		answersWith[OneDragonAnswer]("GET /api/v1/dragon/{worker}", "One dragon, by worker, MAC or address.", (*api).dragon),
		answersWith[HistoryAnswer]("GET /api/v1/history", "Decisions and actions, newest first.", (*api).history, "n", "dragon", "since", "kind"),
		answersWith[RolloutsAnswer]("GET /api/v1/rollouts", "Rollouts of pools, autotune modes and firmware.", shows((*api).rollouts)),
		answersWith[ConfigAnswer]("GET /api/v1/config", "The active configuration, passwords masked.", (*api).config),
		answersWith[DiscoveryAnswer]("GET /api/v1/discovery", "How the last scan went.", (*api).discovery),
		answersWith[PlanAnswer]("GET /api/v1/plan", "What the healer would do now, and why.", shows((*api).plan), "why"),
		answersWith[HealerAnswer]("GET /api/v1/healer", "The healer: mode, budgets, breakers, pauses.", shows((*api).healer)),
		answersWith[FirmwaresAnswer]("GET /api/v1/firmware", "Firmware images, offers and rollouts.", shows((*api).firmware)),
		answersWith[map[string]any]("GET /api/v1/openapi.json", "This document.", (*api).openAPI),

		resultsIn[healer.FirmwareRollout]("POST /api/v1/firmware/start", "Start a firmware rollout.", (*api).rollOut),
		resultsIn[*healer.FirmwareShown]("POST /api/v1/firmware/pause", "Pause a firmware rollout.", changeFirmware("pause")),
		resultsIn[*healer.FirmwareShown]("POST /api/v1/firmware/resume", "Resume a firmware rollout.", changeFirmware("resume")),
		resultsIn[*healer.FirmwareShown]("POST /api/v1/firmware/abort", "Abort a firmware rollout.", changeFirmware("abort")),
		resultsIn[PauseAnswer]("POST /api/v1/healer/pause", "Pause the healer for part of the fleet.", hold(healer.Paused)),
		resultsIn[PauseAnswer]("POST /api/v1/healer/maintenance", "Put part of the fleet into maintenance.", hold(healer.Maintained)),
		resultsIn[PauseAnswer]("POST /api/v1/healer/curtailment", "Give part of the fleet another autotune mode for a while.", hold(healer.Curtailed)),
		resultsIn[string]("POST /api/v1/healer/resume", "End a pause, a maintenance or a curtailment.", (*api).resume),
		resultsIn[string]("DELETE /api/v1/healer/pause/{id}", "End a pause.", (*api).resume),
		resultsIn[string]("DELETE /api/v1/healer/maintenance/{id}", "End a maintenance.", (*api).resume),
		resultsIn[string]("POST /api/v1/healer/quarantine", "Put a dragon into quarantine.", (*api).quarantine),
		resultsIn[string]("POST /api/v1/healer/release", "Release a dragon from quarantine.", (*api).release),
		resultsIn[string]("DELETE /api/v1/healer/quarantine/{dragon}", "Release a dragon from quarantine.", (*api).release),
		resultsIn[string]("POST /api/v1/healer/ack", "Acknowledge a breaker or an aborted rollout.", (*api).ack),
		resultsIn[string]("POST /api/v1/healer/pace", "Make a rollout of a configuration fast, or not.", (*api).pace),
		resultsIn[healer.Action]("POST /api/v1/healer/restart", "Restart the miner process of a dragon.", write(healer.Restart)),
		resultsIn[healer.Action]("POST /api/v1/healer/reboot", "Reboot a dragon.", write(healer.Reboot)),
		resultsIn[string]("POST /api/v1/healer/record", "Record what was done without the healer.", (*api).record),
		resultsIn[[]string]("POST /api/v1/inventory/accept", "Accept new dragons.", (*api).accept),
		resultsIn[string]("POST /api/v1/inventory/forget", "Forget a dragon.", (*api).forget),
		resultsIn[PauseAnswer]("POST /api/v1/inventory/retire", "Retire a dragon.", (*api).retire),
		resultsIn[string]("POST /api/v1/inventory/unretire", "End the retirement of a dragon.", (*api).unretire),
		resultsIn[bool]("POST /api/v1/inventory/look", "Ask who lives at an address.", (*api).look),
	}
}

type object = map[string]any

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// openAPI describes the API in OpenAPI 3.1: the schemas are made from the types of the answers.
func openAPI() object {
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
		answer, tag := s.of(o.answer), "read"
		if method != http.MethodGet {
			tag = "control"
			answer = object{"type": "object", "required": []string{"result"}, "properties": object{
				"result": answer, "warning": object{"type": "string", "description": "What is in force and was not written down."},
			}}
		}
		described := object{
			"operationId": operationID(o.request), "tags": []string{tag}, "summary": o.summary, "parameters": parameters, "responses": object{
				"200":     object{"description": "The answer.", "content": asJSON(answer)},
				"default": object{"description": "The request was refused.", "content": asJSON(s.of(reflect.TypeFor[ErrorAnswer]()))},
			},
		}
		if method != http.MethodGet {
			described["requestBody"] = object{"required": method == http.MethodPost, "content": asJSON(s.of(reflect.TypeFor[Request]()))}
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
}

// operationID is what a generated client calls an operation: getDragons, postHealerPause.
func operationID(request string) string {
	method, where, _ := strings.Cut(request, " ")
	words := strings.FieldsFunc(placeholder.ReplaceAllString(strings.TrimPrefix(where, "/api/v1/"), ""), func(r rune) bool { return r == '/' || r == '.' })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.ToLower(method) + strings.Join(words, "")
}

func asJSON(schema object) object {
	return object{"application/json": object{"schema": schema}}
}

func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.document()) }

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
