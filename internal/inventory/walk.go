package inventory

import (
	"github.com/darter-p2p/darter"
)

// page is how many locations a walk asks for at once; where the other side has no more, digests would cost
// as much as the tasks themselves.
const page = 256

// Difference is part of what a walk found, ordered by task.
type Difference struct {
	Gained []darter.Location // the other side has them, or has them in another form
	Lost   []darter.TaskID   // it does not have them
}

// Walk finds the difference between a tree and one that can only be asked. Use it as
//
//	for !w.Done() { for each question of w.Next() { w.Take(the answer) } }
//
// A tree that changes during the walk is found as it is where the walk passes; the next comparison sees the rest.
type Walk struct {
	mine    *Tree
	open    []Question // to be asked, the last first: a walk that goes deep before it goes wide remembers little
	asked   map[Question]bool
	answers int // may still come
	tasks   int // may still be taken
}

// NewWalk begins a walk. mine is only read, and must not change before the walk is done. theirs is the other side's digest.
func NewWalk(mine *Tree, theirs darter.InventoryDigest) *Walk {
	w := &Walk{mine: mine, asked: map[Question]bool{}, answers: MaxAnswers, tasks: MaxTasks}
	if theirs != mine.Digest() {
		w.visit("", theirs, mine.Digest())
	}
	return w
}

// Done reports whether nothing is left to be asked or answered.
func (w *Walk) Done() bool { return len(w.open) == 0 && len(w.asked) == 0 }

// Pending reports whether answers to questions are missing.
func (w *Walk) Pending() bool { return len(w.asked) > 0 }

// Next returns up to MaxQuestions questions that come next, and none while answers to earlier ones are missing.
func (w *Walk) Next() []Question {
	if len(w.asked) > 0 {
		return nil
	}
	var out []Question
	for len(out) < MaxQuestions && len(w.open) > 0 {
		q := w.open[len(w.open)-1]
		w.open = w.open[:len(w.open)-1]
		w.asked[q] = true
		out = append(out, q)
	}
	return out
}

// Take reads an answer. An error, darter.Invalid, means that the other side cannot be believed: the walk is over.
func (w *Walk) Take(a Answer) (Difference, error) {
	if !w.asked[a.Question] {
		return Difference{}, &darter.Error{Kind: darter.Invalid, Op: "compare inventories", Err: errUnasked}
	}
	if err := a.Check(); err != nil {
		return Difference{}, err
	}
	w.answers--
	if w.tasks -= len(a.Locations); w.tasks < 0 || w.answers < 0 {
		return Difference{}, invalid("it tells of more than %d tasks, or in more than %d answers", MaxTasks, MaxAnswers)
	}
	delete(w.asked, a.Question)
	if a.Question.Limit == 0 {
		return w.descend(a), nil
	}
	return w.merge(a), nil
}

// descend compares the digests below a prefix. What the other side has nothing of is lost at once.
func (w *Walk) descend(a Answer) Difference {
	var out Difference
	mine := w.mine.digests(a.Question.Prefix)
	for d := len(mine) - 1; d >= 0; d-- { // the last is asked first
		prefix := a.Question.Prefix + string("0123456789abcdef"[d])
		if a.Digests[d] == mine[d] || a.Digests[d].Tasks == 0 {
			continue
		}
		w.visit(prefix, a.Digests[d], mine[d])
	}
	for d := range mine {
		if a.Digests[d].Tasks != 0 || mine[d].Tasks == 0 {
			continue
		}
		w.mine.under(a.Question.Prefix+string("0123456789abcdef"[d]), "", func(r *record) bool {
			out.Lost = append(out.Lost, r.key.task())
			return true
		})
	}
	return out
}

// visit plans how to look below a prefix: at the tasks, when there are few or all of them are new, else at digests.
func (w *Walk) visit(prefix string, theirs, mine darter.InventoryDigest) {
	q := Question{Prefix: prefix}
	if theirs.Tasks <= page || mine.Tasks == 0 || len(prefix) == MaxPrefix {
		q.Limit = page
	}
	w.open = append(w.open, q)
}

// merge compares a page with the same stretch of the own tree.
func (w *Walk) merge(a Answer) Difference {
	var out Difference
	i := 0
	w.mine.under(a.Question.Prefix, a.Question.After, func(r *record) bool {
		id := r.key.task()
		for ; i < len(a.Locations) && a.Locations[i].Task < id; i++ {
			out.Gained = append(out.Gained, a.Locations[i])
		}
		switch {
		case i < len(a.Locations) && a.Locations[i].Task == id:
			if DigestOf(a.Locations[i]).Sum != r.sum {
				out.Gained = append(out.Gained, a.Locations[i])
			}
			i++
		case i == len(a.Locations) && a.More:
			return false // beyond the page
		default:
			out.Lost = append(out.Lost, id)
		}
		return true
	})
	out.Gained = append(out.Gained, a.Locations[i:]...)
	if a.More {
		next := a.Question
		next.After = a.Locations[len(a.Locations)-1].Task
		w.open = append(w.open, next)
	}
	return out
}
