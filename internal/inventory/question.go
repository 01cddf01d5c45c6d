package inventory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/darter-p2p/darter"
)

// Bounds that both sides keep, whatever the other sends.
const (
	MaxPrefix    = 16      // digits of a question's prefix
	MaxPage      = 512     // locations in an answer
	MaxQuestions = 16      // questions at once
	MaxTasks     = 4 << 20 // locations that one walk takes
	MaxAnswers   = 1 << 19 // answers that one walk takes
)

// Question asks for the tasks whose id begins with Prefix: for the digests of the sixteen prefixes that are one
// digit longer, or, with a Limit, for a page of at most so many locations after the task After.
type Question struct {
	Prefix string
	Limit  int
	After  darter.TaskID
}

// Answer answers one question.
type Answer struct {
	Question  Question
	Digests   [16]darter.InventoryDigest // without a limit
	Locations []darter.Location          // with one: ordered by task
	More      bool                       // tasks follow after the last location
}

// Check refuses what no walk asks. Errors are darter.Invalid.
func (q Question) Check() error {
	switch {
	case len(q.Prefix) > MaxPrefix || strings.Trim(q.Prefix, "0123456789abcdef") != "":
		return invalid("the prefix is not of up to %d hexadecimal digits", MaxPrefix)
	case q.Limit == 0 && len(q.Prefix) == MaxPrefix:
		return invalid("digests below a prefix of %d digits are not told", MaxPrefix)
	case q.Limit < 0 || q.Limit > MaxPage:
		return invalid("a page of %d tasks is not within 0..%d", q.Limit, MaxPage)
	case q.After != "" && (q.Limit == 0 || !q.After.Valid() || !strings.HasPrefix(string(q.After), q.Prefix)):
		return invalid("it goes on after a task that does not lie below the prefix")
	}
	return nil
}

// Check refuses an answer that does not fit its question: too long, out of order, or of other tasks. Errors are
// darter.Invalid.
func (a Answer) Check() error {
	if err := a.Question.Check(); err != nil {
		return err
	}
	if len(a.Locations) > a.Question.Limit || a.More && len(a.Locations) == 0 {
		return invalid("it has %d tasks where up to %d were asked for, more: %t", len(a.Locations), a.Question.Limit, a.More)
	}
	last := a.Question.After
	for _, l := range a.Locations {
		if _, ok := recordOf(l); !ok || l.Task <= last || !strings.HasPrefix(string(l.Task), a.Question.Prefix) {
			return invalid("a task is out of order, or not one that was asked for")
		}
		last = l.Task
	}
	return nil
}

func invalid(format string, a ...any) error {
	return &darter.Error{Kind: darter.Invalid, Op: "compare inventories", Err: fmt.Errorf(format, a...)}
}

var errUnasked = errors.New("it was not asked for")

// Answer returns what the tree knows of a question; darter.Invalid when it is none.
func (t *Tree) Answer(q Question) (Answer, error) {
	if err := q.Check(); err != nil {
		return Answer{}, err
	}
	a := Answer{Question: q}
	if q.Limit == 0 {
		a.Digests = t.digests(q.Prefix)
		return a, nil
	}
	t.under(q.Prefix, q.After, func(r *record) bool {
		if len(a.Locations) == q.Limit {
			a.More = true
			return false
		}
		a.Locations = append(a.Locations, t.location(r))
		return true
	})
	return a, nil
}

// at returns the node whose tasks include all those below a prefix: below it and no others when exact.
func (t *Tree) at(prefix string) (n *node, depth int, exact bool) {
	n = t.root
	for depth < len(prefix) {
		if n.children == nil {
			return n, depth, false
		}
		child := n.children[digitOf(prefix[depth])]
		if child == nil {
			return &node{}, len(prefix), true
		}
		n, depth = child, depth+1
	}
	return n, depth, true
}

// digitOf reads a lower-case hexadecimal digit.
func digitOf(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

// below reports whether a key begins with a prefix.
func (k key) below(prefix string) bool {
	for i := range len(prefix) {
		if k.digit(i) != digitOf(prefix[i]) {
			return false
		}
	}
	return true
}

// digests returns those of the sixteen prefixes that are one digit longer.
func (t *Tree) digests(prefix string) (out [16]darter.InventoryDigest) {
	n, depth, exact := t.at(prefix)
	if exact && n.children != nil {
		for d, child := range n.children {
			if child != nil {
				out[d] = child.digest
			}
		}
		return out
	}
	n.each(depth, key{}, false, func(r *record) bool {
		if r.key.below(prefix) {
			d := r.key.digit(len(prefix))
			out[d].Tasks++
			out[d].Sum += r.sum
		}
		return true
	})
	return out
}

// under calls do for the records below a prefix in order, after a task when one is named, until it returns false.
func (t *Tree) under(prefix string, after darter.TaskID, do func(*record) bool) {
	n, depth, exact := t.at(prefix)
	k, bounded := keyOf(after)
	n.each(depth, k, bounded, func(r *record) bool {
		if !exact && !r.key.below(prefix) {
			return true
		}
		return do(r)
	})
}
