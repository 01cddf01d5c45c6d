package pki_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
)

// A hundred days pass; the manager is away for three of them.
func TestCertificatesAreRenewedBeforeTheyRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := authority(t)
		grant := pki.Grant{Identity: node(pki.Daemon, "c"), Life: 30 * 24 * time.Hour}
		begin := time.Now()
		renewed, failed := 0, 0
		s := open(t, pki.SourceConfig{Files: issue(t, a, grant), Events: pki.Events{
			Renewed: func(pki.Identity, time.Time) { renewed++ }, Failed: func(error) { failed++ }}})
		r, err := pki.NewRenewer(pki.RenewerConfig{Source: s, Seed: 7, Ask: func(_ context.Context, csr []byte) (pki.Issued, error) {
			if day := time.Since(begin) / (24 * time.Hour); day >= 18 && day < 21 {
				return pki.Issued{}, errors.New("nobody there")
			}
			return a.Sign(csr, grant, time.Now())
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		for range 100 {
			time.Sleep(24 * time.Hour)
			if _, until := s.Identity(); time.Until(until) < 8*24*time.Hour {
				t.Fatalf("after %v the certificate has %v left", time.Since(begin), time.Until(until))
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if renewed < 4 || renewed > 6 || failed < 24 || failed > 90 {
			t.Errorf("renewed %d times, failed %d times", renewed, failed)
		}
	})
}

// What a confused or hostile manager answers does not replace a certificate that works.
func TestBadAnswersAreNotSaved(t *testing.T) {
	var a, b *pki.Authority // of the bubble's year 2000
	grant := pki.Grant{Identity: node(pki.Daemon, "c"), Life: time.Hour}
	for name, answer := range map[string]func(csr []byte) (pki.Issued, error){
		"for somebody else": func(csr []byte) (pki.Issued, error) {
			return a.Sign(csr, pki.Grant{Identity: node(pki.Scheduler, "c")}, time.Now())
		},
		"of another key": func([]byte) (pki.Issued, error) {
			r, err := pki.NewRequest(nil, nil)
			if err != nil {
				return pki.Issued{}, err
			}
			return a.Sign(r.CSR, grant, time.Now())
		},
		"trust of another authority": func(csr []byte) (pki.Issued, error) {
			i, err := a.Sign(csr, grant, time.Now())
			i.Trust = b.Trust()
			return i, err
		},
		"nothing":     func([]byte) (pki.Issued, error) { return pki.Issued{}, nil },
		"long before": func(csr []byte) (pki.Issued, error) { return a.Sign(csr, grant, time.Now().Add(-48*time.Hour)) },
	} {
		synctest.Test(t, func(t *testing.T) {
			a, _ = authority(t)
			b, _ = authority(t)
			f := issue(t, a, grant)
			before, err := os.ReadFile(f.Node)
			if err != nil {
				t.Fatal(err)
			}
			failures := make(chan error, 100)
			s := open(t, pki.SourceConfig{Files: f, Events: pki.Events{Failed: func(err error) { failures <- err }}})
			r, err := pki.NewRenewer(pki.RenewerConfig{Source: s, Ask: func(_ context.Context, csr []byte) (pki.Issued, error) { return answer(csr) }})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() { _ = r.Run(ctx) }()
			if err := <-failures; darter.KindOf(err) != darter.Corrupt {
				t.Errorf("%s: %v", name, err)
			}
			if after, err := os.ReadFile(f.Node); err != nil || string(after) != string(before) {
				t.Errorf("%s: the file changed (%v)", name, err)
			}
			stop()
			synctest.Wait()
		})
	}
}

// Files that somebody else writes are seen without a restart; one that stays broken is reported once.
func TestRunSeesChangedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := authority(t)
		grant := pki.Grant{Identity: node(pki.Daemon, "c")}
		f := issue(t, a, grant)
		loaded, failed := 0, 0
		s := open(t, pki.SourceConfig{Files: f, Events: pki.Events{Loaded: func(pki.Identity, time.Time) { loaded++ }, Failed: func(error) { failed++ }}})
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = s.Run(ctx) }()
		time.Sleep(time.Hour + time.Second) // off the beat, so that no look falls into a write
		synctest.Wait()
		if loaded != 1 {
			t.Errorf("loaded %d times though nothing changed", loaded)
		}
		reissue(t, a, grant, f)
		time.Sleep(time.Minute)
		synctest.Wait()
		if loaded != 2 {
			t.Errorf("loaded %d times after a change", loaded)
		}
		if err := os.WriteFile(f.Node, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if loaded != 2 || failed != 1 {
			t.Errorf("loaded %d times, failed %d times", loaded, failed)
		}
		stop()
		synctest.Wait()
	})
}

func TestRenewAtLiesWithinTheLife(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		from := time.Unix(rapid.Int64Range(0, 4e9).Draw(r, "from"), 0)
		life := time.Duration(rapid.Int64Range(int64(time.Minute), int64(pki.MaxLife)).Draw(r, "life"))
		at := pki.RenewAt(from, from.Add(life), rapid.Float64Range(0, 0.999).Draw(r, "share"))
		if share := float64(at.Sub(from)) / float64(life); share < 0.599 || share > 0.671 {
			r.Fatalf("after %.3f of its life", share)
		}
	})
}
