package darter

import (
	"errors"
	"fmt"
)

// Kind is the class of an error: a closed list, mapped to gRPC, HTTP and exit codes in one table.
type Kind uint8

// Kinds of error.
const (
	Internal    Kind = iota // a bug or an unforeseen failure
	Invalid                 // the request is wrong; trying again does not help
	NotFound                // there is no such thing
	Conflict                // it exists, or it changed meanwhile
	Unavailable             // cannot be reached or is not ready; trying again may help
	Corrupt                 // bytes do not match their digest, length or format
	Denied                  // authentication or authorisation failed, or a rule forbids it
	NoSpace                 // disk or quota is full
	TimedOut                // a limit on time passed
)

var kindNames = [...]string{"internal", "invalid", "not found", "conflict", "unavailable", "corrupt", "denied", "no space", "timed out"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is an error at a border: what happened (Err) to what (Op), of which class, and what a person
// can do about it (Hint).
type Error struct {
	Kind Kind
	Op   string // "fetch https://…", "open store /var/lib/darter"
	Hint string // for the operator; may be empty
	Err  error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Op + ": " + e.Kind.String()
	case e.Op == "":
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// HintOf returns the first hint in err's chain.
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
