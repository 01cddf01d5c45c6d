package wire

import (
	"encoding/hex"
	"fmt"
	"math"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/internal/inventory"
)

// ToQuestions reads questions about an inventory. Errors are darter.Invalid.
func ToQuestions(m *darterv1.Questions) ([]inventory.Question, error) {
	asked := m.GetQuestions()
	if len(asked) == 0 || len(asked) > inventory.MaxQuestions {
		return nil, invalid("read questions", fmt.Sprintf("there are %d, not within 1..%d", len(asked), inventory.MaxQuestions))
	}
	out := make([]inventory.Question, 0, len(asked))
	for _, q := range asked {
		read, err := toQuestion(q)
		if err != nil {
			return nil, err
		}
		out = append(out, read)
	}
	return out, nil
}

func toQuestion(m *darterv1.Question) (inventory.Question, error) {
	after, ok := toTask(m.GetAfter())
	if !ok || m.GetLimit() > math.MaxInt32 {
		return inventory.Question{}, invalid("read question", fmt.Sprintf("its limit is %d, and a task id has %d bytes", m.GetLimit(), len(m.GetAfter())))
	}
	q := inventory.Question{Prefix: m.GetPrefix(), Limit: int(m.GetLimit()), After: after}
	return q, q.Check()
}

// FromQuestions writes questions.
func FromQuestions(questions []inventory.Question) *darterv1.Questions {
	m := &darterv1.Questions{Questions: make([]*darterv1.Question, 0, len(questions))}
	for _, q := range questions {
		m.Questions = append(m.Questions, fromQuestion(q))
	}
	return m
}

func fromQuestion(q inventory.Question) *darterv1.Question {
	return &darterv1.Question{Prefix: q.Prefix, Limit: uint32(q.Limit), After: fromTask(q.After)}
}

// ToAnswer reads the answer to a question about an inventory. Errors are darter.Invalid.
func ToAnswer(m *darterv1.Answer) (inventory.Answer, error) {
	q, err := toQuestion(m.GetQuestion())
	if err != nil {
		return inventory.Answer{}, err
	}
	a := inventory.Answer{Question: q, More: m.GetMore()}
	wanted := 0
	if q.Limit == 0 {
		wanted = len(a.Digests)
	}
	if len(m.GetTasks()) != wanted || len(m.GetSums()) != wanted || len(m.GetLocations()) > q.Limit {
		return inventory.Answer{}, invalid("read answer", fmt.Sprintf("it has %d and %d figures and %d tasks, where %d figures and up to %d tasks were asked for",
			len(m.GetTasks()), len(m.GetSums()), len(m.GetLocations()), wanted, q.Limit))
	}
	for i := range wanted {
		a.Digests[i] = darter.InventoryDigest{Tasks: m.GetTasks()[i], Sum: m.GetSums()[i]}
	}
	for _, l := range m.GetLocations() {
		location, err := toLocation(l)
		if err != nil {
			return inventory.Answer{}, err
		}
		a.Locations = append(a.Locations, location)
	}
	return a, a.Check()
}

// FromAnswer writes an answer.
func FromAnswer(a inventory.Answer) *darterv1.Answer {
	m := &darterv1.Answer{Question: fromQuestion(a.Question), More: a.More}
	if a.Question.Limit == 0 {
		for _, d := range a.Digests {
			m.Tasks, m.Sums = append(m.Tasks, d.Tasks), append(m.Sums, d.Sum)
		}
	}
	for _, l := range a.Locations {
		m.Locations = append(m.Locations, fromLocation(l))
	}
	return m
}

func toLocation(m *darterv1.Location) (darter.Location, error) {
	id, ok := toTask(m.GetTask())
	layout := darter.Layout{Length: int64(m.GetLength()), PieceLength: int64(m.GetPieceLength())}
	if !ok || id == "" || m.GetLength() > math.MaxInt64/2 || layout.Length > 0 && (layout.PieceLength == 0 || (layout.Length-1)/layout.PieceLength >= MaxPieces) {
		return darter.Location{}, invalid("read location", fmt.Sprintf("a task id of %d bytes, %d bytes in pieces of %d: that is no task", len(m.GetTask()), m.GetLength(), m.GetPieceLength()))
	}
	l := darter.Location{Task: id, Layout: layout, Complete: m.Pieces == nil}
	if l.Complete {
		return l, nil
	}
	if l.Pieces, ok = inventory.ParseBitmap(m.GetPieces(), layout.Count()); !ok {
		return darter.Location{}, invalid("read location", fmt.Sprintf("the pieces of task %s are no bitmap of %d pieces", id.Short(), layout.Count()))
	}
	return l, nil
}

func fromLocation(l darter.Location) *darterv1.Location {
	m := &darterv1.Location{Task: fromTask(l.Task), Length: uint64(max(l.Layout.Length, 0)), PieceLength: uint32(min(max(l.Layout.PieceLength, 0), math.MaxUint32))}
	if !l.Complete {
		if m.Pieces = inventory.Bitmap(l.Pieces); m.Pieces == nil {
			m.Pieces = []byte{} // none, which is not the same as all
		}
	}
	return m
}

// toTask reads a task id as bytes; none is the empty id.
func toTask(b []byte) (darter.TaskID, bool) {
	if len(b) == 0 {
		return "", true
	}
	return darter.TaskID(hex.EncodeToString(b)), len(b) == 32
}

// fromTask writes a task id as bytes; one that is none is left out.
func fromTask(id darter.TaskID) []byte {
	if !id.Valid() {
		return nil
	}
	b, err := hex.DecodeString(string(id))
	if err != nil {
		return nil
	}
	return b
}
