package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// crashFS is a file system in memory that remembers every change, so that a test can ask what a disk might hold
// if the machine stopped after any of them. What was not synced may be there, gone or torn, each by itself; a
// file's name and its bytes are synced apart.
type crashFS struct {
	mu     sync.Mutex
	base   world // what was on disk at the beginning
	now    world // what programs see
	log    []change
	next   int   // the last inode number given out
	stopAt int   // changes after which nothing works any more; 0 is never
	failAt int   // the change that fails once, counted from 1
	fail   error // how it fails
}

var errStopped = errors.New("the machine has stopped")

type world map[int]*inode

type inode struct {
	dir  bool
	data []byte
	kids map[string]int
}

const (
	doLink   = iota // enter node as dir/name: create, mkdir, hard link
	doRename        // dir/name becomes dir2/name2
	doRemove
	doWrite
	doTruncate
	doSync
	doSyncDir
)

type change struct {
	do        int
	dir, dir2 int
	name      string
	name2     string
	node      int
	folder    bool
	off       int64
	data      []byte
}

func newCrashFS(base world) *crashFS {
	if base == nil {
		base = world{0: {dir: true, kids: map[string]int{}}}
	}
	f := &crashFS{base: base.clone(), now: base.clone()}
	for id := range base {
		f.next = max(f.next, id)
	}
	return f
}

func (w world) clone() world {
	out := world{}
	for id, n := range w {
		c := &inode{dir: n.dir, data: bytes.Clone(n.data)}
		if n.dir {
			c.kids = map[string]int{}
			for k, v := range n.kids {
				c.kids[k] = v
			}
		}
		out[id] = c
	}
	return out
}

// apply carries out a change as far as torn allows: 1 all, 2 the front half of a write, 3 the back half.
func (w world) apply(c change, torn int) {
	switch c.do {
	case doLink:
		w[c.dir].kids[c.name] = c.node
	case doRename:
		if w[c.dir].kids[c.name] == c.node {
			delete(w[c.dir].kids, c.name)
		}
		w[c.dir2].kids[c.name2] = c.node
	case doRemove:
		if w[c.dir].kids[c.name] == c.node {
			delete(w[c.dir].kids, c.name)
		}
	case doTruncate:
		w[c.node].resize(c.off, true)
	case doWrite:
		from, to := 0, len(c.data)
		if torn == 2 {
			to /= 2
		} else if torn == 3 {
			from = to / 2
		}
		w[c.node].resize(c.off+int64(to), false)
		copy(w[c.node].data[c.off+int64(from):], c.data[from:to])
	}
}

func (n *inode) resize(size int64, shrink bool) {
	for int64(len(n.data)) < size {
		n.data = append(n.data, 0)
	}
	if shrink {
		n.data = n.data[:size]
	}
}

// after returns what the disk may hold after the first k changes. choose is asked how much of each
// change survives that no sync protects: 0 nothing, else as apply.
func (f *crashFS) after(k int, choose func() int) world {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.base.clone()
	for _, c := range f.log[:k] {
		if c.do == doLink && out[c.node] == nil {
			out[c.node] = &inode{dir: c.folder}
			if c.folder {
				out[c.node].kids = map[string]int{}
			}
		}
	}
	for i, c := range f.log[:k] {
		survives := 1
		if !f.synced(i, k) {
			survives = choose()
		}
		if survives != 0 {
			out.apply(c, survives)
		}
	}
	return out
}

func (f *crashFS) synced(i, k int) bool {
	c := f.log[i]
	for _, s := range f.log[i+1 : k] {
		switch {
		case s.do == doSync && (c.do == doWrite || c.do == doTruncate) && s.node == c.node,
			s.do == doSyncDir && c.do <= doRemove && (s.node == c.dir || c.do == doRename && s.node == c.dir2):
			return true
		}
	}
	return false
}

// do logs and applies a change, unless the machine has stopped or this is the one to fail.
func (f *crashFS) do(c change) error {
	if f.stopAt > 0 && len(f.log) >= f.stopAt {
		return errStopped
	}
	if f.failAt > 0 && len(f.log)+1 >= f.failAt {
		f.failAt = 0
		return f.fail
	}
	f.log = append(f.log, c)
	f.now.apply(c, 1)
	return nil
}

func (f *crashFS) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.log)
}

// walk returns the folder that path lies in, the last part of path, and the node, -1 when there is none.
func (f *crashFS) walk(path string) (dir int, name string, node int, err error) {
	if f.stopAt > 0 && len(f.log) >= f.stopAt {
		return 0, "", -1, errStopped
	}
	parts := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	for _, p := range parts[:len(parts)-1] {
		next, ok := f.now[dir].kids[p]
		if !ok || !f.now[next].dir {
			return 0, "", -1, &fs.PathError{Op: "walk", Path: path, Err: fs.ErrNotExist}
		}
		dir = next
	}
	name = parts[len(parts)-1]
	if name == "" || name == "." {
		return 0, "", 0, nil
	}
	if n, ok := f.now[dir].kids[name]; ok {
		return dir, name, n, nil
	}
	return dir, name, -1, nil
}

func (f *crashFS) need(path string) (dir int, name string, node int, err error) {
	dir, name, node, err = f.walk(path)
	if err == nil && node < 0 {
		err = &fs.PathError{Op: "find", Path: path, Err: fs.ErrNotExist}
	}
	return dir, name, node, err
}

func (f *crashFS) enter(dir int, name string, folder bool) (int, error) {
	f.next++
	id := f.next
	n := &inode{dir: folder}
	if folder {
		n.kids = map[string]int{}
	}
	f.now[id] = n
	err := f.do(change{do: doLink, dir: dir, name: name, node: id, folder: folder})
	return id, err
}

func (f *crashFS) MkdirAll(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i := range parts {
		dir, name, node, err := f.walk(strings.Join(parts[:i+1], "/"))
		if err != nil {
			return err
		}
		if node < 0 {
			if _, err := f.enter(dir, name, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *crashFS) Open(path string, flag int) (file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, name, node, err := f.walk(path)
	switch {
	case err != nil:
		return nil, err
	case node >= 0 && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrExist}
	case node < 0 && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case node < 0:
		if node, err = f.enter(dir, name, false); err != nil {
			return nil, err
		}
	}
	return &crashFile{f: f, node: node}, nil
}

type dirEntry struct {
	fs.DirEntry
	name string
	dir  bool
}

func (e dirEntry) Name() string { return e.name }
func (e dirEntry) IsDir() bool  { return e.dir }

func (f *crashFS) ReadDir(path string) ([]fs.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, node, err := f.need(path)
	if err != nil {
		return nil, err
	}
	var out []fs.DirEntry
	for name, id := range f.now[node].kids {
		out = append(out, dirEntry{name: name, dir: f.now[id].dir})
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

func (f *crashFS) Size(path string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, node, err := f.need(path)
	if err != nil {
		return 0, err
	}
	return int64(len(f.now[node].data)), nil
}

func (f *crashFS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, name, node, err := f.need(from)
	if err != nil {
		return err
	}
	dir2, name2, _, err := f.walk(to)
	if err != nil {
		return err
	}
	return f.do(change{do: doRename, dir: dir, name: name, dir2: dir2, name2: name2, node: node})
}

func (f *crashFS) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, name, node, err := f.need(path)
	if err != nil {
		return err
	}
	if len(f.now[node].kids) > 0 {
		return &fs.PathError{Op: "remove", Path: path, Err: errors.New("not empty")}
	}
	return f.do(change{do: doRemove, dir: dir, name: name, node: node})
}

func (f *crashFS) Link(from, to string) error { return errors.ErrUnsupported }

func (f *crashFS) SyncDir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, node, err := f.need(path)
	if err != nil {
		return err
	}
	return f.do(change{do: doSyncDir, node: node})
}

func (f *crashFS) Free(string) (int64, error)     { return 1 << 40, nil }
func (f *crashFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

type crashFile struct {
	f    *crashFS
	node int
}

func (c *crashFile) ReadAt(p []byte, off int64) (int, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return bytes.NewReader(c.f.now[c.node].data).ReadAt(p, off)
}

func (c *crashFile) WriteAt(p []byte, off int64) (int, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	if err := c.f.do(change{do: doWrite, node: c.node, off: off, data: bytes.Clone(p)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *crashFile) Truncate(size int64) error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return c.f.do(change{do: doTruncate, node: c.node, off: size})
}

func (c *crashFile) Sync() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return c.f.do(change{do: doSync, node: c.node})
}

func (c *crashFile) Size() (int64, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return int64(len(c.f.now[c.node].data)), nil
}

func (c *crashFile) Stream(off int64) (io.Reader, error) {
	return io.NewSectionReader(c, off, 1<<40), nil
}

func (c *crashFile) Flush(_, _ int64) {}

func (c *crashFile) CopyFrom(file) error { return errors.ErrUnsupported }
func (c *crashFile) Close() error        { return nil }
