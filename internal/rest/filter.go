package rest

import (
	"net/http"
	"slices"
	"strings"
)

// maxTerms bounds a filter.
const maxTerms = 20

// Filter is a conjunction of comparisons: state = "failed" AND kind = "preheat.file". It is what remains of AIP-160
// when only that is asked for which every database answers from an index.
type Filter []Term

// Term is one comparison.
type Term struct {
	Field string
	Op    string // = != < <= > >=
	Value string
}

// ParseFilter reads a filter. Each field is one of those given, each at most once, with "=" alone unless the field
// is given with other operators behind it, as in "created<=>": then those of "<", "<=", "=", ">=", ">" and "!=" made of
// these characters are taken as well, and the field may come twice.
func ParseFilter(text string, fields ...string) (Filter, error) {
	rest := strings.TrimSpace(text)
	var out Filter
	for rest != "" {
		t, after, why := term(rest)
		if why == "" {
			why = out.check(t, fields)
		}
		if why != "" {
			return nil, Refusal(http.StatusUnprocessableEntity, InvalidFilter, "the filter cannot be used: "+why, Detail{Pointer: "query/filter", Code: "malformed", Detail: why})
		}
		out = append(out, t)
		if rest = strings.TrimSpace(after); rest == "" {
			break
		}
		word, tail, _ := strings.Cut(rest, " ")
		if rest = strings.TrimSpace(tail); !strings.EqualFold(word, "AND") || rest == "" {
			return nil, Refusal(http.StatusUnprocessableEntity, InvalidFilter, "comparisons are joined by AND", Detail{Pointer: "query/filter", Code: "malformed", Detail: `field = "value" AND field = "value"`})
		}
	}
	return out, nil
}

func (f Filter) check(t Term, fields []string) string {
	names := make([]string, len(fields))
	for i, field := range fields {
		name := strings.TrimRight(field, "!<=>")
		names[i] = name
		if name != t.Field {
			continue
		}
		ops := field[len(name):]
		if t.Op != "=" && (ops == "" || strings.Trim(t.Op, ops) != "") {
			return t.Field + " does not take " + t.Op
		}
		if ops == "" && f.Value(t.Field) != "" {
			return t.Field + " is compared twice"
		}
		if len(f) >= maxTerms {
			return "there are too many comparisons"
		}
		return ""
	}
	slices.Sort(names)
	return "it knows only " + strings.Join(names, ", ")
}

// Value returns what a field is to be equal to, empty when the filter does not say.
func (f Filter) Value(field string) string {
	for _, t := range f {
		if t.Field == field && t.Op == "=" {
			return t.Value
		}
	}
	return ""
}

// term reads one comparison off the text.
func term(s string) (t Term, rest, why string) {
	end := strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '.'
	})
	if end <= 0 {
		return t, "", `a comparison is written field = "value"`
	}
	t.Field, rest = s[:end], strings.TrimLeft(s[end:], " ")
	for _, op := range []string{"!=", "<=", ">=", "=", "<", ">"} {
		if strings.HasPrefix(rest, op) {
			t.Op, rest = op, strings.TrimLeft(rest[len(op):], " ")
			break
		}
	}
	if t.Op == "" {
		return t, "", t.Field + " is compared with nothing"
	}
	t.Value, rest, why = value(rest)
	if why == "" && t.Value == "" {
		why = t.Field + " is compared with an empty text"
	}
	return t, rest, why
}

// value reads "text with \" and \\" or a bare word.
func value(s string) (v, rest, why string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " \"'()")
		if end < 0 {
			end = len(s)
		}
		if end < len(s) && s[end] != ' ' {
			return "", "", "a value with other than letters stands in double quotes"
		}
		return s[:end], s[end:], ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '\\':
			return "", "", `a backslash stands before " or another backslash`
		case c == '"':
			if i+1 < len(s) && s[i+1] != ' ' {
				return "", "", "a space belongs behind a value"
			}
			return b.String(), s[i+1:], ""
		case c < ' ':
			return "", "", "a value has no control characters"
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "a quote is not closed"
}
