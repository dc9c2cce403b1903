package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// contentType is what Confluent's registry answers with.
const contentType = "application/vnd.schemaregistry.v1+json"

// A handler answers a request with a value to be sent as JSON, or an error. mu is held.
type handler func(req *http.Request) (any, error)

// routes is the API.
func (r *Registry) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":                                                  func(*http.Request) (any, error) { return struct{}{}, nil },
		"GET /schemas":                                              r.allSchemas,
		"GET /schemas/types":                                        func(*http.Request) (any, error) { return []string{schemaType}, nil },
		"GET /schemas/ids/{id}":                                     r.schemaByID,
		"GET /schemas/ids/{id}/schema":                              r.schemaTextByID,
		"GET /schemas/ids/{id}/subjects":                            r.subjectsByID,
		"GET /schemas/ids/{id}/versions":                            r.versionsByID,
		"GET /subjects":                                             r.subjects,
		"POST /subjects/{subject}":                                  r.lookup,
		"GET /subjects/{subject}/versions":                          r.versions,
		"POST /subjects/{subject}/versions":                         r.register,
		"GET /subjects/{subject}/versions/{version}":                r.schemaByVersion,
		"GET /subjects/{subject}/versions/{version}/schema":         r.schemaTextByVersion,
		"GET /subjects/{subject}/versions/{v}/referencedby":         r.referencedBy,
		"POST /compatibility/subjects/{subject}/versions":           r.checkAll,
		"POST /compatibility/subjects/{subject}/versions/{version}": r.checkOne,
		"GET /config":                                               r.globalLevel,
		"PUT /config":                                               r.setGlobalLevel,
		"GET /config/{subject}":                                     r.subjectLevel,
		"PUT /config/{subject}":                                     r.setSubjectLevel,
		"DELETE /config/{subject}":                                  r.resetSubjectLevel,
		"GET /mode":                                                 r.globalMode,
		"PUT /mode":                                                 r.setGlobalMode,
		"GET /mode/{subject}":                                       r.subjectMode,
		"PUT /mode/{subject}":                                       r.setSubjectMode,
		"DELETE /mode/{subject}":                                    r.resetSubjectMode,
		"DELETE /subjects/{subject}":                                neverDeleted,
		"DELETE /subjects/{subject}/versions/{version}":             neverDeleted,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			r.mu.Lock()
			answer, err := h(req)
			r.mu.Unlock()
			respond(w, answer, err)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, nil, apiError{http.StatusNotFound, http.StatusNotFound, "HTTP 404 Not Found"})
	})
	return mux
}

func neverDeleted(*http.Request) (any, error) {
	return nil, notPermitted("This registry never deletes a schema: records that were written with it would become unreadable")
}

func respond(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", contentType)
	status := http.StatusOK
	if err != nil {
		e := asAPIError(err)
		status = e.status
		answer = struct {
			Code    int    `json:"error_code"`
			Message string `json:"message"`
		}{e.code, e.text}
	}
	w.WriteHeader(status)
	if text, ok := answer.(json.RawMessage); ok {
		_, _ = w.Write(text) // a client that has gone does not read the answer
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// read decodes the body of a request.
func read(req *http.Request, into any) error {
	err := json.NewDecoder(req.Body).Decode(into)
	var tooLarge *http.MaxBytesError
	if err == nil || errors.As(err, new(apiError)) || errors.As(err, &tooLarge) {
		return err
	}
	return apiError{statusUnprocessable, codeUnprocessable, "The body is not the JSON that this request takes: " + err.Error()}
}

// flag is a query parameter that is true or false.
func flag(req *http.Request, name string) bool { return req.URL.Query().Get(name) == "true" }

// idOf is the id that the path names.
func (r *Registry) idOf(req *http.Request) (int, error) {
	text := req.PathValue("id")
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0, apiError{http.StatusNotFound, http.StatusNotFound, "HTTP 404 Not Found"}
	}
	if id < 1 || id > len(r.state.Schemas) {
		return 0, schemaNotFound(id)
	}
	return id, nil
}

// subjectOf is the subject that the path names, which has at least one version.
func (r *Registry) subjectOf(req *http.Request) (string, *subject, error) {
	name := req.PathValue("subject")
	sub := r.state.Subjects[name]
	if sub == nil || len(sub.Versions) == 0 {
		return name, nil, subjectNotFound(name)
	}
	return name, sub, nil
}

// versionOf is the version that the path names.
func versionOf(text string, sub *subject) (int, error) {
	if text == "latest" || text == "-1" {
		return len(sub.Versions), nil
	}
	version, err := strconv.ParseInt(text, 10, 32)
	if err != nil || version < 1 {
		return 0, invalidVersion(text)
	}
	if int(version) > len(sub.Versions) {
		return 0, versionNotFound(int(version))
	}
	return int(version), nil
}
