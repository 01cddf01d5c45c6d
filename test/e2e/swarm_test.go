package e2e

import (
	"sync"
	"testing"
	"time"
)

const (
	mib = int64(1) << 20
	// piece is the piece length of every content up to 2000 MiB.
	piece = 4 * mib
)

// bigSize is the size of the file of the first promise.
func bigSize() int64 {
	if testing.Short() {
		return 256 * mib
	}
	return 1024 * mib
}

// sumOf adds up what several downloads said.
func sumOf(all []Got) (origin, peers, cache int64) {
	for _, g := range all {
		origin, peers, cache = origin+g.FromOrigin, peers+g.FromPeers, cache+g.FromCache
	}
	return origin, peers, cache
}

// wantOneCopy wants the origin to have sent the content once; extra is what may have been lost on
// the way.
func wantOneCopy(t *testing.T, p *Page, c Content, extra int64) {
	t.Helper()
	if sent := p.Sent(); sent+p.Probed() < c.Size || sent > c.Size+extra {
		t.Errorf("the origin sent %d bytes in %d requests: %.3f copies of %d, want one (at most %d more)",
			sent, p.Requests(), float64(sent)/float64(c.Size), c.Size, extra)
	}
}

func TestOneFileReachesEightDaemonsAndTheOriginSendsItOnce(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, bigSize(), 1)
	page := o.Add("/big", content)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 8})

	all := GetAll(t, ctx, c.Daemons, o.URL+"/big", content)

	wantOneCopy(t, page, content, 0)
	origin, peers, _ := sumOf(all)
	if origin != 0 {
		t.Errorf("%d bytes came to the daemons from the origin; the seed alone should go there", origin)
	}
	if peers != 8*content.Size {
		t.Errorf("%d bytes came from peers, want 8 files of %d", peers, content.Size)
	}
	for _, g := range all {
		if g.TaskID != all[0].TaskID {
			t.Errorf("task ids differ: %s and %s", g.TaskID, all[0].TaskID)
		}
	}

	again := Get(t, ctx, c.Daemons[3], o.URL+"/big", content)
	if again.FromCache != content.Size {
		t.Errorf("the second download had %d of %d bytes from the cache", again.FromCache, content.Size)
	}
	wantOneCopy(t, page, content, 0)
}

func TestSixteenColdAskersMakeOneCopy(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	o := NewOrigin(t, int(16*mib))
	content := Random(t, 48*mib+12345, 2)
	page := o.Add("/cold", content)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 8})

	var wg sync.WaitGroup
	for _, n := range c.Daemons {
		for _, suffix := range []string{"a", "b"} { // two askers at each daemon: they must share
			wg.Go(func() { GetTo(t, ctx, n, o.URL+"/cold", n.Dir+"/out-"+suffix, content) })
		}
	}
	wg.Wait()
	wantOneCopy(t, page, content, 0)
}

func TestWithoutASeedOneChildGoesToTheOrigin(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, int(32*mib))
	content := Random(t, 40*mib, 3)
	page := o.Add("/noseed", content)
	c := newCluster(t, ctx, Shape{Daemons: 4})

	all := GetAll(t, ctx, c.Daemons, o.URL+"/noseed", content)

	wantOneCopy(t, page, content, 0)
	if origin, _, _ := sumOf(all); origin != content.Size {
		t.Errorf("the daemons say %d bytes came from the origin, it sent %d", origin, page.Sent())
	}
}
