package fetch

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// narrow is a store on a disk with little room left.
type narrow struct {
	store.Store
	free int64
}

func (s narrow) Usage() store.Usage {
	u := s.Store.Usage()
	u.Free = s.free
	return u
}

// A source without a length may send without an end: that ends at the limit, before the disk is full, or when nobody waits
// any more, and nothing of it stays.
func TestContentWithoutAnEnd(t *testing.T) {
	for name, c := range map[string]struct {
		tune    func(*Config)
		patient time.Duration // of the asker
		kind    darter.Kind
		says    string
		most    int64 // bytes that may have come
	}{
		"limit":    {func(c *Config) { c.MaxUnknown = 20 * mib }, time.Hour, darter.NoSpace, "longer than 20", 21 * mib},
		"disk":     {func(c *Config) { c.Store = narrow{c.Store, 30 * mib} }, time.Hour, darter.NoSpace, "free to keep it", 40 * mib},
		"deserted": {func(*Config) {}, 3 * time.Second, darter.TimedOut, "", 85 * mib}, // 20 MiB a second, and it lingers for one
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, mib)
				w.origin.endless = true
				folder := t.TempDir()
				n := w.node("a", false, func(cfg *Config) { cfg.Spool = folder; c.tune(cfg) })
				ctx, cancel := context.WithTimeout(t.Context(), c.patient)
				defer cancel()
				if _, _, err := n.get(ctx, w.want()); darter.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %v that says %q", err, c.kind, c.says)
				}
				time.Sleep(2 * time.Second)
				if sent := w.origin.sent.Load(); sent > c.most || n.engine.Active() != 0 {
					t.Errorf("%d MiB came and %d downloads run, want at most %d MiB and none", sent/mib, n.engine.Active(), c.most/mib)
				}
				if left, _ := os.ReadDir(folder); len(left) != 0 || len(n.store.List()) != 0 {
					t.Errorf("left behind: files %v, tasks %v", left, n.store.List())
				}
				n.stop()
			})
		})
	}
}

// Who comes after a deserted download has decided to end gets one of its own, not the end of the old one.
func TestNobodyEntersADesertedDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.NewPeer = func() darter.PeerID { return "p" }
		d := newDownload(&Engine{cfg: cfg}, "id", darter.Want{})
		d.leave(d.enter(darter.Want{}))
		if d.deserted() {
			t.Error("it does not linger")
		}
		d.enter(darter.Want{}).Close()
		time.Sleep(cfg.Linger)
		if !d.deserted() || d.enter(darter.Want{}) != nil {
			t.Error("somebody entered a download that had ended")
		}
	})
}

// A temporary file that cannot be says why: not every failure is a full disk.
func TestWhyASpoolFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mib)
		w.origin.noLength = true
		n := w.node("a", false, func(c *Config) { c.Spool = "/nowhere/at/all" })
		if _, _, err := n.get(t.Context(), w.want()); darter.KindOf(err) != darter.Unavailable || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a missing folder gave %v", err)
		}
		n.stop()
	})
	d := &download{e: &Engine{cfg: Config{Redact: func(url string, _ []string) string { return url }}}}
	for err, kind := range map[error]darter.Kind{syscall.ENOSPC: darter.NoSpace, syscall.EDQUOT: darter.NoSpace, syscall.EIO: darter.Unavailable, syscall.EROFS: darter.Unavailable} {
		if got := d.unkept(err); darter.KindOf(got) != kind {
			t.Errorf("%v is %v, want %v", err, darter.KindOf(got), kind)
		}
	}
}
