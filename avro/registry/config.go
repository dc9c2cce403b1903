package registry

import (
	"fmt"
	"net/http"
)

// A checkResult is how the API tells whether a schema is compatible.
type checkResult struct {
	OK       bool     `json:"is_compatible"`
	Messages []string `json:"messages,omitempty"`
}

// checkOne checks a schema against one version of a subject. Confluent: POST /compatibility/subjects/(subject)/versions/(v).
func (r *Registry) checkOne(req *http.Request) (any, error) {
	_, sub, err := r.subjectOf(req)
	if err != nil {
		return nil, err
	}
	version, err := versionOf(req.PathValue("version"), sub)
	if err != nil {
		return nil, err
	}
	return r.check(req, []int{version})
}

// checkAll checks a schema as registering it would. Confluent: POST /compatibility/subjects/(subject)/versions.
func (r *Registry) checkAll(req *http.Request) (any, error) {
	sub := r.state.Subjects[req.PathValue("subject")]
	if sub == nil {
		return r.check(req, nil)
	}
	return r.check(req, upTo(len(sub.Versions)))
}

func (r *Registry) check(req *http.Request, versions []int) (any, error) {
	_, compiled, _, err := r.readProposal(req)
	if err != nil {
		return nil, err
	}
	name := req.PathValue("subject")
	why, err := r.incompatible(compiled, r.levelOf(name), name, versions)
	if err != nil {
		return nil, err
	}
	result := checkResult{OK: len(why) == 0}
	if flag(req, "verbose") {
		result.Messages = why
	}
	return result, nil
}

// A levelAnswer is how the API tells a level, a levelRequest how it is told one.
type (
	levelAnswer struct {
		Level level `json:"compatibilityLevel"`
	}
	levelRequest struct {
		Level level `json:"compatibility"`
	}
	modeSetting struct {
		Mode mode `json:"mode"`
	}
)

func (r *Registry) globalLevel(*http.Request) (any, error) { return levelAnswer{r.state.Level}, nil }

func (r *Registry) setGlobalLevel(req *http.Request) (any, error) {
	var to levelRequest
	if err := read(req, &to); err != nil {
		return nil, err
	}
	if to.Level == "" {
		return nil, invalidLevel()
	}
	return to, r.change(func(st *state) { st.Level = to.Level })
}

func (r *Registry) subjectLevel(req *http.Request) (any, error) {
	name := req.PathValue("subject")
	if sub := r.state.Subjects[name]; sub != nil && sub.Level != "" {
		return levelAnswer{sub.Level}, nil
	}
	if flag(req, "defaultToGlobal") {
		return levelAnswer{r.state.Level}, nil
	}
	return nil, apiError{http.StatusNotFound, codeNoSubjectLevel,
		fmt.Sprintf("Subject '%s' does not have subject-level compatibility configured", name)}
}

func (r *Registry) setSubjectLevel(req *http.Request) (any, error) {
	var to levelRequest
	if err := read(req, &to); err != nil {
		return nil, err
	}
	if to.Level == "" {
		return nil, invalidLevel()
	}
	return to, r.change(func(st *state) { st.subject(req.PathValue("subject")).Level = to.Level })
}

func (r *Registry) resetSubjectLevel(req *http.Request) (any, error) {
	name := req.PathValue("subject")
	sub := r.state.Subjects[name]
	if sub == nil || sub.Level == "" {
		return nil, subjectNotFound(name)
	}
	was := sub.Level
	return levelAnswer{was}, r.change(func(st *state) { st.Subjects[name].Level = "" })
}

func (r *Registry) globalMode(*http.Request) (any, error) { return modeSetting{r.state.Mode}, nil }

func (r *Registry) setGlobalMode(req *http.Request) (any, error) {
	var to modeSetting
	if err := read(req, &to); err != nil {
		return nil, err
	}
	if to.Mode == "" {
		return nil, invalidMode()
	}
	return to, r.change(func(st *state) { st.Mode = to.Mode })
}

func (r *Registry) subjectMode(req *http.Request) (any, error) {
	name := req.PathValue("subject")
	if sub := r.state.Subjects[name]; sub != nil && sub.Mode != "" {
		return modeSetting{sub.Mode}, nil
	}
	if flag(req, "defaultToGlobal") {
		return modeSetting{r.state.Mode}, nil
	}
	return nil, apiError{http.StatusNotFound, codeNoSubjectMode, fmt.Sprintf("Subject '%s' does not have subject-level mode configured", name)}
}

func (r *Registry) setSubjectMode(req *http.Request) (any, error) {
	var to modeSetting
	if err := read(req, &to); err != nil {
		return nil, err
	}
	if to.Mode == "" {
		return nil, invalidMode()
	}
	return to, r.change(func(st *state) { st.subject(req.PathValue("subject")).Mode = to.Mode })
}

func (r *Registry) resetSubjectMode(req *http.Request) (any, error) {
	name := req.PathValue("subject")
	sub := r.state.Subjects[name]
	if sub == nil || sub.Mode == "" {
		return nil, subjectNotFound(name)
	}
	was := sub.Mode
	return modeSetting{was}, r.change(func(st *state) { st.Subjects[name].Mode = "" })
}
