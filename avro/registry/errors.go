package registry

import (
	"errors"
	"fmt"
	"net/http"
)

// An apiError is an answer that is not 200, in Confluent's terms.
type apiError struct {
	status int
	code   int
	text   string
}

func (e apiError) Error() string { return e.text }

// HTTP statuses that go with several codes.
const (
	http500             = http.StatusInternalServerError
	statusUnprocessable = http.StatusUnprocessableEntity
)

// Confluent's error codes (its Errors.java).
const (
	codeSubjectNotFound = 40401
	codeVersionNotFound = 40402
	codeSchemaNotFound  = 40403
	codeNoSubjectLevel  = 40408
	codeNoSubjectMode   = 40409
	codeIncompatible    = 409
	codeInvalidSchema   = 42201
	codeInvalidVersion  = 42202
	codeInvalidLevel    = 42203
	codeInvalidMode     = 42204
	codeNotPermitted    = 42205
	codeStore           = 50001
	codeUnprocessable   = 422
	codeBodyTooLarge    = 413
)

func subjectNotFound(name string) error {
	return apiError{http.StatusNotFound, codeSubjectNotFound, fmt.Sprintf("Subject '%s' not found.", name)}
}

func versionNotFound(version int) error {
	return apiError{http.StatusNotFound, codeVersionNotFound, fmt.Sprintf("Version %d not found.", version)}
}

func schemaNotFound(id int) error {
	return apiError{http.StatusNotFound, codeSchemaNotFound, fmt.Sprintf("Schema %d not found", id)}
}

func invalidVersion(text string) error {
	return apiError{statusUnprocessable, codeInvalidVersion,
		fmt.Sprintf("The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text)}
}

func invalidSchema(why error) error {
	return apiError{statusUnprocessable, codeInvalidSchema, "Invalid schema: " + why.Error()}
}

func notPermitted(text string) error { return apiError{statusUnprocessable, codeNotPermitted, text} }

// asAPIError gives every error an answer.
func asAPIError(err error) apiError {
	if e := (apiError{}); errors.As(err, &e) {
		return e
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return apiError{http.StatusRequestEntityTooLarge, codeBodyTooLarge, fmt.Sprintf("The request has more than %d bytes", maxBody)}
	}
	return apiError{http500, codeStore, err.Error()}
}
