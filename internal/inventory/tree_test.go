package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
)

// location returns the n-th of a row of locations; a version above 0 is another form of the same task.
func location(n, version int) darter.Location {
	h := sha256.Sum256(fmt.Append(nil, "task ", n))
	id := hex.EncodeToString(h[:])
	if n%4 == 0 { // some ids share a long beginning, as no hash would have it
		id = "abcdef0123" + id[10:]
	}
	l := darter.Location{Task: darter.TaskID(id), Layout: darter.LayoutOf(int64(n+1)*darter.MinPieceLength, 0), Complete: version == 0}
	if version > 0 {
		l.Pieces = darter.Pieces(0, uint32(version))
	}
	return l
}

// naive is the dumb second implementation: a map, and loops over all of it.
type naive map[darter.TaskID]darter.Location

func (m naive) digest(prefix string) (d darter.InventoryDigest) {
	for id, l := range m {
		if strings.HasPrefix(string(id), prefix) {
			d.Tasks++
			d.Sum += DigestOf(l).Sum
		}
	}
	return d
}

func (m naive) sorted() []darter.Location {
	var out []darter.Location
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[id])
	}
	return out
}

func show(ls []darter.Location) string {
	var b strings.Builder
	for _, l := range ls {
		fmt.Fprintf(&b, "%s %d/%d %t %s\n", l.Task, l.Layout.Length, l.Layout.PieceLength, l.Complete, l.Pieces)
	}
	return b.String()
}

func same(a, b darter.Location) bool { return show([]darter.Location{a}) == show([]darter.Location{b}) }

// few tasks collide often, many make the tree divide and join.
func fill(t *rapid.T, name string, most int) (*Tree, naive) {
	tree, plain := New(), naive{}
	for range rapid.IntRange(0, most).Draw(t, name) {
		n := rapid.IntRange(0, most).Draw(t, "task")
		l := location(n, rapid.IntRange(0, 2).Draw(t, "version"))
		if rapid.IntRange(0, 3).Draw(t, "verb") == 0 {
			_, was := plain[l.Task]
			delete(plain, l.Task)
			if tree.Remove(l.Task) != was {
				t.Fatalf("Remove(%s) = %t, want %t", l.Task, !was, was)
			}
			continue
		}
		plain[l.Task] = l
		if !tree.Put(l) {
			t.Fatalf("Put(%v) was refused", l)
		}
	}
	return tree, plain
}

func TestTreeIsASetOfLocations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree, plain := fill(t, "steps", 400)
		if got, want := tree.Digest(), plain.digest(""); got != want {
			t.Fatalf("digest %v, want %v", got, want)
		}
		if got, want := show(slices.Collect(tree.All)), show(plain.sorted()); got != want {
			t.Fatalf("all:\n%swant:\n%s", got, want)
		}
		for _, prefix := range []string{"", "a", "ab", "abcdef0123", "abcdef01234", "7"} {
			a, err := tree.Answer(Question{Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			for d, got := range a.Digests {
				if want := plain.digest(prefix + string("0123456789abcdef"[d])); got != want {
					t.Fatalf("digest of %s%x is %v, want %v", prefix, d, got, want)
				}
			}
		}
		for id, want := range plain {
			if got, ok := tree.Get(id); !ok || !same(got, want) {
				t.Fatalf("Get(%s) = %v, %t, want %v", id, got, ok, want)
			}
		}
	})
}

func TestWalkFindsTheDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mine, known := fill(t, "mine", 400)
		theirs, held := fill(t, "theirs", 400)
		if rapid.Bool().Draw(t, "alike") { // most of the time, little differs
			for id, l := range known {
				if _, other := held[id]; !other {
					held[id] = l
					theirs.Put(l)
				}
			}
		}
		walk := NewWalk(mine, theirs.Digest())
		gained, lost := naive{}, map[darter.TaskID]bool{}
		for !walk.Done() {
			questions := walk.Next()
			if len(questions) == 0 || len(questions) > MaxQuestions {
				t.Fatalf("a walk that is not done asks %d questions", len(questions))
			}
			for _, q := range questions {
				take(t, walk, theirs, q, gained, lost)
			}
		}
		for id, l := range held {
			if k, ok := known[id]; ok && same(k, l) {
				if _, wrong := gained[id]; wrong || lost[id] {
					t.Fatalf("%s is the same on both sides, and was found to differ", id)
				}
				continue
			}
			if g, ok := gained[id]; !ok || !same(g, l) {
				t.Fatalf("%s was not gained: %v", id, g)
			}
		}
		for id := range known {
			if _, there := held[id]; there == lost[id] {
				t.Fatalf("%s there: %t, lost: %t", id, there, lost[id])
			}
		}
	})
}

func take(t *rapid.T, walk *Walk, theirs *Tree, q Question, gained naive, lost map[darter.TaskID]bool) {
	a, err := theirs.Answer(q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	d, err := walk.Take(a)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	for _, l := range d.Gained {
		if _, twice := gained[l.Task]; twice {
			t.Fatalf("%s was gained twice", l.Task)
		}
		gained[l.Task] = l
	}
	for _, id := range d.Lost {
		if lost[id] {
			t.Fatalf("%s was lost twice", id)
		}
		lost[id] = true
	}
}

// TestDigestsAreForEver pins the sum, computed by hand with another program: two versions of this one must agree.
func TestDigestsAreForEver(t *testing.T) {
	whole := darter.Location{Task: darter.TaskID(strings.Repeat("ab", 32)), Layout: darter.Layout{Length: 10 << 20, PieceLength: 4 << 20}, Complete: true}
	part := whole
	part.Complete, part.Pieces = false, darter.Pieces(0, 2)
	got := fmt.Sprintf("%016x %016x", DigestOf(whole).Sum, DigestOf(part).Sum)
	if want := "c43d272565127a5d 1e8c1ea63da449ee"; got != want {
		t.Errorf("digests are %s, want %s", got, want)
	}
}

func TestTreeRefusesWhatNobodyHolds(t *testing.T) {
	tree := New()
	good := location(1, 0)
	for name, change := range map[string]func(*darter.Location){
		"short id":           func(l *darter.Location) { l.Task = l.Task[:63] },
		"upper case":         func(l *darter.Location) { l.Task = darter.TaskID(strings.ToUpper(string(l.Task))) },
		"negative length":    func(l *darter.Location) { l.Layout.Length = -1 },
		"huge piece":         func(l *darter.Location) { l.Layout.PieceLength = 1 << 40 },
		"negative piece":     func(l *darter.Location) { l.Layout.PieceLength = -1 },
		"letters beyond hex": func(l *darter.Location) { l.Task = darter.TaskID(strings.Repeat("z", 64)) },
	} {
		l := good
		change(&l)
		if tree.Put(l) || tree.Digest() != (darter.InventoryDigest{}) || tree.Remove(l.Task) {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestWalkDoesNotBelieveNonsense(t *testing.T) {
	theirs := darter.InventoryDigest{Tasks: 1000, Sum: 1}
	l := location(1, 0)
	for name, answer := range map[string]func(Question) Answer{
		"another question":  func(q Question) Answer { q.Prefix += "0"; return Answer{Question: q} },
		"too many tasks":    func(q Question) Answer { return Answer{Question: q, Locations: make([]darter.Location, page+1)} },
		"more after none":   func(q Question) Answer { return Answer{Question: q, More: true} },
		"the same twice":    func(q Question) Answer { return Answer{Question: q, Locations: []darter.Location{l, l}} },
		"an id that is not": func(q Question) Answer { return Answer{Question: q, Locations: []darter.Location{{Task: "x"}}} },
	} {
		walk := NewWalk(New(), theirs)
		if d, err := walk.Take(answer(walk.Next()[0])); darter.KindOf(err) != darter.Invalid || len(d.Gained) > 0 {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

// TestWalkEndsWhateverItHears: neither digests that always differ nor pages that never end keep a walk going.
func TestWalkEndsWhateverItHears(t *testing.T) {
	mine := New()
	for n := range 2000 {
		mine.Put(location(n, 0))
	}
	for name, known := range map[string]*Tree{"digests": mine, "pages": New()} {
		walk := NewWalk(known, darter.InventoryDigest{Tasks: 1 << 31})
		const most = 20_000 // instead of MaxAnswers, which takes long
		walk.answers = most
		var err error
		answers := 0
		for !walk.Done() && err == nil {
			for _, q := range walk.Next() {
				answers++
				if _, err = walk.Take(lie(q, answers)); err != nil {
					break
				}
			}
			if len(walk.open) > 16*MaxPrefix*MaxQuestions {
				t.Fatalf("%s: the walk remembers %d questions", name, len(walk.open))
			}
		}
		if answers != most+1 || darter.KindOf(err) != darter.Invalid {
			t.Errorf("%s: the walk took %d answers: %v", name, answers, err)
		}
	}
}

// lie answers with a claim that fits the question and calls for more.
func lie(q Question, n int) Answer {
	a := Answer{Question: q}
	if q.Limit > 0 {
		id := q.Prefix + fmt.Sprintf("%0*x", 64-len(q.Prefix), n)
		a.Locations, a.More = []darter.Location{{Task: darter.TaskID(id), Complete: true}}, true
		return a
	}
	for d := range a.Digests {
		a.Digests[d] = darter.InventoryDigest{Tasks: 1 << 30, Sum: uint64(n)}
	}
	return a
}

func TestBitmapBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := darter.Pieces(rapid.SliceOf(rapid.Uint32Range(0, 300)).Draw(t, "pieces")...)
		back, ok := ParseBitmap(Bitmap(set), 301)
		if !ok || !back.Equal(set) {
			t.Fatalf("%s became %s, %t", set, back, ok)
		}
	})
	for _, bad := range [][]byte{{1, 0}, {0}, {0, 0, 1}, {8}} {
		if set, ok := ParseBitmap(bad, 3); ok {
			t.Errorf("%v gave %s", bad, set)
		}
	}
}

// FuzzParseBitmap: whatever is read is written the same way.
func FuzzParseBitmap(f *testing.F) {
	f.Add([]byte{5}, uint32(3))
	f.Add([]byte{255, 1}, uint32(9))
	f.Fuzz(func(t *testing.T, raw []byte, limit uint32) {
		if set, ok := ParseBitmap(raw, limit); ok && string(Bitmap(set)) != string(raw) {
			t.Errorf("%x became %s, and that %x", raw, set, Bitmap(set))
		}
	})
}

func million(tb testing.TB) (*Tree, []darter.Location) {
	tb.Helper()
	all := make([]darter.Location, 1_000_000)
	tree := New()
	for n := range all {
		h := sha256.Sum256(fmt.Append(nil, n))
		all[n] = darter.Location{Task: darter.TaskID(hex.EncodeToString(h[:])), Layout: darter.LayoutOf(1<<30, 0), Complete: true}
		tree.Put(all[n])
	}
	return tree, all
}

// BenchmarkTree is about a tree of 1,000,000 tasks.
func BenchmarkTree(b *testing.B) {
	tree, all := million(b)
	b.Run("PutRemove", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			l := all[i%len(all)]
			tree.Remove(l.Task)
			tree.Put(l)
		}
	})
	b.Run("Answer", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, err := tree.Answer(Question{Prefix: string(all[i%len(all)].Task[:2]), Limit: page}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Build", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			fresh := New()
			for _, l := range all {
				fresh.Put(l)
			}
		}
	})
	b.Run("WalkOneDifference", func(b *testing.B) {
		mine := New()
		for _, l := range all {
			mine.Put(l)
		}
		questions := 0
		b.ResetTimer()
		for i := range b.N {
			mine.Remove(all[i%len(all)].Task)
			w := NewWalk(mine, tree.Digest())
			for !w.Done() {
				for _, q := range w.Next() {
					a, err := tree.Answer(q)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := w.Take(a); err != nil {
						b.Fatal(err)
					}
					questions++
				}
			}
			mine.Put(all[i%len(all)])
		}
		b.ReportMetric(float64(questions)/float64(b.N), "questions/op")
	})
	b.Run("Memory", func(b *testing.B) {
		var before, after runtime.MemStats
		for range b.N {
			runtime.GC()
			runtime.ReadMemStats(&before)
			fresh := New()
			for _, l := range all {
				fresh.Put(l)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(all)), "B/task")
			runtime.KeepAlive(fresh)
		}
	})
}
