package clickhouse

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

var (
	formatClause  = regexp.MustCompile(`(?is)\s+FORMAT\s+(\w+)\s*;?\s*$`)
	valuesClause  = regexp.MustCompile(`(?is)\s+VALUES\s*;?\s*$`)
	insertClause  = regexp.MustCompile("(?is)^\\s*INSERT\\s+INTO\\s+(?:TABLE\\s+)?((?:`[^`]+`|\"[^\"]+\"|[\\w.])+)\\s*(\\((.*?)\\))?\\s*(SETTINGS\\s.*)?$")
	selectClause  = regexp.MustCompile(`(?is)^\s*\(*\s*(SELECT|WITH)\b`)
	rowsClause    = regexp.MustCompile(`(?is)^\s*\(*\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS|CHECK)\b`)
	leadingNoise  = regexp.MustCompile(`(?s)^(?:\s+|\(|--[^\n]*(?:\n|$)|#[ !][^\n]*(?:\n|$)|/\*.*?\*/)+`)
	exceptionCode = regexp.MustCompile(`Code: (\d+)\.`)
	exceptionName = regexp.MustCompile(`\(([A-Z][A-Z0-9_]+)\)`)
	notIdentifier = regexp.MustCompile(`\W`)
)

// ClickHouse's codes that this host tells apart or gives itself.
const (
	codeUnknownTable       = 60
	codeUnknownDatabase    = 81
	codeSyntaxError        = 62
	codeUnknownIdentifier  = 47
	codeTypeMismatch       = 53
	codeCannotParseInput   = 27
	codeAuthentication     = 516
	codeUnknownException   = 1002
	nameOfUnknownException = "UNKNOWN_EXCEPTION"
)

var (
	errAuthentication = errors.New("Code: 516. DB::Exception: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)")
	errNoStatement    = errors.New("Code: 62. DB::Exception: Syntax error: no statement in the query. (SYNTAX_ERROR)")
)

// exception is what a ClickHouse server would have said: code, symbolic name, message.
func exception(err error) (code int, name, message string) {
	message = err.Error()
	code, name = codeUnknownException, nameOfUnknownException
	if m := exceptionCode.FindStringSubmatch(message); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			code = n
		}
	}
	if m := exceptionName.FindAllStringSubmatch(message, -1); m != nil {
		name = m[len(m)-1][1]
	}
	return code, name, message
}

// checkStatement refuses text that the engine would take for nothing and call a success: none, comments, an unreadable
// byte.
func checkStatement(q string) error {
	rest := leadingNoise.ReplaceAllString(q, "")
	if rest == "" || !unicode.IsLetter(rune(rest[0])) && rest[0] != ';' {
		return errNoStatement
	}
	return nil
}

// insertStatement is an INSERT whose rows come separately.
type insertStatement struct {
	head    string // up to VALUES or FORMAT
	table   string
	columns string // as written between the parentheses; "": all
	format  string
}

// splitInsert takes such an INSERT apart; ok is false for every other statement.
func splitInsert(q string) (in insertStatement, ok bool) {
	in.format = "Values"
	if m := formatClause.FindStringSubmatchIndex(q); m != nil {
		in.head, in.format = q[:m[0]], q[m[2]:m[3]]
	} else if m := valuesClause.FindStringIndex(q); m != nil {
		in.head = q[:m[0]]
	} else {
		return in, false
	}
	m := insertClause.FindStringSubmatch(in.head)
	if m == nil {
		return in, false
	}
	in.table, in.columns = m[1], m[3]
	return in, true
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// unquote reads a quoted literal, the form in which a parameter travels over native TCP.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '\'' {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(s[1 : len(s)-1])
}

// identifier makes a setting's name safe to stand in a SET statement; the engine refuses what is no setting.
func identifier(name string) string { return notIdentifier.ReplaceAllString(name, "_") }
