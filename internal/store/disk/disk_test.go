package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

func config(dir string) Config {
	c := DefaultConfig()
	c.Dir = dir
	return c
}

func openTest(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openTest(t, config(t.TempDir())) })
}

func TestSuiteWithoutIdleFiles(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		c := config(t.TempDir())
		c.IdleFiles = 0
		return openTest(t, c)
	})
}

// kill leaves the folder as a killed process does.
func kill(s *Store) {
	s.handles.close()
	s.lock.Close()
}

// filled makes one complete and one partial task.
func filled(t *testing.T, s *Store) (whole, part store.Task) {
	t.Helper()
	whole, err := s.Create(storetest.Meta(1, 1000, 256))
	must(t, err)
	must(t, storetest.PutAll(whole, storetest.Bytes(1, 1000)))
	must(t, whole.Finish(""))
	must(t, whole.Sync())
	part, err = s.Create(storetest.Meta(2, 1000, 256))
	must(t, err)
	for n := range uint32(3) {
		must(t, storetest.Put(part, n, storetest.Bytes(2, 1000)))
	}
	return whole, part
}

func TestARestartFindsEverythingAgain(t *testing.T) {
	for _, how := range []string{"closed", "killed"} {
		t.Run(how, func(t *testing.T) {
			var sum Adopted
			c := config(t.TempDir())
			c.Events.Adopted = func(a Adopted) { sum = a }
			c.Events.Dropped = func(d Dropped) { t.Errorf("dropped %+v", d) }
			s := openTest(t, c)
			whole, part := filled(t, s)
			before := []store.Info{whole.Info(), part.Info()}
			rec, _ := part.Piece(2)
			suspect := 0
			if how == "closed" {
				must(t, s.Close())
			} else {
				kill(s)
				suspect = 1
			}
			s = openTest(t, c)
			defer s.Close()
			if sum.Tasks != 2 || sum.Complete != 1 || sum.Suspect != suspect {
				t.Errorf("adopted %+v", sum)
			}
			must(t, s.Recheck(t.Context()))
			if u := s.Usage(); u.Held != 1000+768 || u.Tasks != 2 {
				t.Errorf("usage %+v", u)
			}
			for i, info := range s.List() {
				want := before[i]
				if info.State != want.State || !info.Pieces.Equal(want.Pieces) || info.Held != want.Held ||
					!info.Finished.Equal(want.Finished) || info.Version != want.Version || info.Layout != want.Layout {
					t.Errorf("%+v\nwant %+v", info, want)
				}
				task, err := s.Open(info.ID)
				must(t, err)
				must(t, storetest.Check(task, storetest.Bytes(uint64(i+1), 1000)))
			}
			again, err := s.Open(storetest.ID(2))
			must(t, err)
			if got, ok := again.Piece(2); !ok || got != rec {
				t.Errorf("piece %+v, want %+v", got, rec)
			}
		})
	}
}

func TestAfterAKillPiecesAreCheckedAndLostOnesFetchedAgain(t *testing.T) {
	var dropped []Dropped
	c := config(t.TempDir())
	c.Events.Dropped = func(d Dropped) { dropped = append(dropped, d) }
	s := openTest(t, c)
	_, part := filled(t, s)
	kill(s)
	damage(t, part.(*task).dir+"/data", 300)
	s = openTest(t, c)
	defer s.Close()
	if i := s.List()[1]; !i.Pieces.Empty() {
		t.Errorf("unchecked pieces %s are listed", i.Pieces)
	}
	again, err := s.Create(storetest.Meta(2, 1000, 256))
	must(t, err)
	if !again.Pieces().Equal(darter.Pieces(0, 2)) {
		t.Errorf("holds %s", again.Pieces())
	}
	if len(dropped) != 1 || !dropped[0].Pieces.Equal(darter.Pieces(1)) || dropped[0].Bytes != 256 {
		t.Errorf("events %+v", dropped)
	}
	must(t, storetest.PutAll(again, storetest.Bytes(2, 1000)))
	must(t, again.Finish(""))
	must(t, storetest.Check(again, storetest.Bytes(2, 1000)))
}

func damage(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("damage"), off)
	must(t, err)
}

func TestASecondProcessIsToldWhoUsesTheFolder(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, config(dir))
	_, err := Open(config(dir))
	if darter.KindOf(err) != darter.Conflict || darter.HintOf(err) == "" || !bytes.Contains([]byte(err.Error()), []byte(dir)) {
		t.Errorf("got %v (%v)", err, darter.KindOf(err))
	}
	must(t, s.Close())
	must(t, openTest(t, config(dir)).Close())
}

func TestBrokenTasksArePutAsideAndCounted(t *testing.T) {
	for _, c := range []struct {
		reason Reason
		stays  bool
		harm   func(t *testing.T, dir string)
	}{
		{BadSidecar, false, func(t *testing.T, dir string) { damage(t, dir+"/sidecar", 30) }},
		{BadSidecar, false, func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/sidecar", 20)) }},
		{BadSidecar, false, func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/sidecar", maxSidecar+1)) }},
		{Unfinished, false, func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/sidecar", 0)) }},
		{Unfinished, false, func(t *testing.T, dir string) { must(t, os.Remove(dir+"/sidecar")) }},
		{BadData, false, func(t *testing.T, dir string) { must(t, os.Remove(dir+"/data")) }},
		{BadData, false, func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/data", 999)) }},
		{BadData, false, func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/data"))
			must(t, os.Symlink("/etc/hostname", dir+"/data"))
		}},
		{NewerFormat, true, func(t *testing.T, dir string) {
			b, err := os.ReadFile(dir + "/sidecar")
			must(t, err)
			b[8] = 99
			must(t, os.WriteFile(dir+"/sidecar", b, 0o600))
		}},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			var events []Quarantined
			cfg := config(t.TempDir())
			cfg.Events.Quarantined = func(q Quarantined) { events = append(events, q) }
			s := openTest(t, cfg)
			whole, part := filled(t, s)
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(cfg.Dir, "tasks", "notes.txt"), []byte("mine"), 0o600))
			dir := whole.(*task).dir
			c.harm(t, dir)
			s = openTest(t, cfg)
			defer s.Close()
			if len(events) != 1 || events[0].Reason != c.reason || events[0].ID != whole.Meta().ID || events[0].Err == nil {
				t.Errorf("events %+v, want %s", events, c.reason)
			}
			if _, err := os.Stat(dir); (err == nil) != c.stays {
				t.Errorf("stat: %v, stays %v", err, c.stays)
			}
			if _, err := os.Stat(filepath.Join(cfg.Dir, "tasks", "notes.txt")); err != nil {
				t.Errorf("someone else's file: %v", err)
			}
			_, err := s.Open(part.Meta().ID)
			must(t, err)
			fresh, err := s.Create(whole.Meta())
			must(t, err)
			must(t, storetest.PutAll(fresh, storetest.Bytes(1, 1000)))
			must(t, fresh.Finish(""))
			must(t, storetest.Check(fresh, storetest.Bytes(1, 1000)))
		})
	}
}

func TestATornTailIsCutAndDoesNotReturn(t *testing.T) {
	var mended []Mended
	c := config(t.TempDir())
	c.Events.Mended = func(m Mended) { mended = append(mended, m) }
	s := openTest(t, c)
	_, part := filled(t, s)
	path := part.(*task).dir + "/sidecar"
	kill(s)
	before, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write(bytes.Repeat([]byte{1}, 200))
	must(t, err)
	must(t, f.Close())
	kill(openTest(t, c))
	if after, err := os.Stat(path); err != nil || after.Size() != before.Size() || len(mended) != 1 {
		t.Errorf("size %d, was %d; events %+v", after.Size(), before.Size(), mended)
	}
	must(t, openTest(t, c).Close())
	if len(mended) != 1 {
		t.Errorf("mended again: %+v", mended)
	}
}

func TestLeftoversGoAtStart(t *testing.T) {
	c := config(t.TempDir())
	must(t, openTest(t, c).Close())
	for _, folder := range []string{"tmp", "trash", "quarantine"} {
		must(t, os.MkdirAll(filepath.Join(c.Dir, folder, "x", "y"), 0o700))
		must(t, os.WriteFile(filepath.Join(c.Dir, folder, "x", "data"), nil, 0o600))
	}
	must(t, openTest(t, c).Close())
	for _, folder := range []string{"tmp", "trash", "quarantine"} {
		if left, err := os.ReadDir(filepath.Join(c.Dir, folder)); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", folder, left, err)
		}
	}
}

func TestAReaderIsFitForSendfile(t *testing.T) {
	s := openTest(t, config(t.TempDir()))
	defer s.Close()
	whole, _ := filled(t, s)
	r, err := whole.OpenPiece(1)
	must(t, err)
	defer r.Close()
	l, ok := r.Body.(*io.LimitedReader)
	if !ok || l.N != 256 {
		t.Fatalf("body is a %T", r.Body)
	}
	if _, ok := l.R.(*os.File); !ok {
		t.Errorf("body limits a %T", l.R)
	}
}

func TestManyIdleTasksKeepFewFilesOpen(t *testing.T) {
	c := config(t.TempDir())
	c.IdleFiles = 4
	s := openTest(t, c)
	defer s.Close()
	before := openFiles(t)
	for n := range 50 {
		task, err := s.Create(storetest.Meta(n, 1000, 256))
		must(t, err)
		must(t, storetest.PutAll(task, storetest.Bytes(1, 1000)))
		must(t, storetest.Check(task, storetest.Bytes(1, 1000)))
	}
	if now := openFiles(t); now > before+4 {
		t.Errorf("%d files are open, %d before", now, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(fds)
}

func TestWhenItWasReadSurvivesARestart(t *testing.T) {
	c := config(t.TempDir())
	s := openTest(t, c)
	whole, _ := filled(t, s)
	must(t, storetest.Check(whole, storetest.Bytes(1, 1000)))
	want := whole.Info().LastRead
	must(t, s.Close())
	s = openTest(t, c)
	defer s.Close()
	if got := s.List()[0].LastRead; !got.Equal(want) || want.IsZero() {
		t.Errorf("read %v, want %v", got, want)
	}
}

func TestTimesFarOffDoNotMatter(t *testing.T) {
	c := config(t.TempDir())
	s := openTest(t, c)
	m := storetest.Meta(1, 300, 100)
	m.Created = time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)
	a, err := s.Create(m)
	must(t, err)
	for n, at := range []time.Time{{}, time.Unix(-1<<40, 0), time.Date(2250, 1, 1, 0, 0, 0, 0, time.UTC)} {
		w, err := a.Writer(uint32(n))
		must(t, err)
		_, err = w.Write(make([]byte, 100))
		must(t, err)
		_, err = w.Commit(nil, darter.Piece{Created: at, Cost: -time.Hour})
		must(t, err)
	}
	must(t, a.Finish(""))
	must(t, s.Close())
	s = openTest(t, c)
	defer s.Close()
	if i := s.List(); len(i) != 1 || i[0].State != store.Complete {
		t.Errorf("%+v", i)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := openTest(t, config(t.TempDir()))
	must(t, s.Close())
	must(t, s.Close())
	_, err := s.Create(storetest.Meta(1, 10, 10))
	_, err2 := s.Open(storetest.ID(1))
	for _, err := range []error{err, err2} {
		if darter.KindOf(err) != darter.Unavailable || err == nil {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Open(Config{}); darter.KindOf(err) != darter.Invalid {
		t.Errorf("without a folder: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(config(file)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a file as folder: %v", err)
	}
}
