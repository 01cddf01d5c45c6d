package sim

import (
	"fmt"
	"os"
	"testing"
)

func TestProbe(t *testing.T) {
	if os.Getenv("PROBE") == "" {
		t.Skip()
	}
	for _, slots := range []int{1, 2, 4} {
		s := shapes()[3]
		cfg := s.world(1)
		cfg.Slots = slots; cfg.Swarm.MaxLinks = 24; cfg.Pick.Racers = 6
		w, _ := build(cfg)
		unit := bound(cfg) / 32
		next := 0.0
		for !w.over() {
			if w.net.dirty {
				w.net.share()
			}
			n, some := w.clock.next()
			if !some {
				n = never
			}
			w.step(n)
			if sec := w.clock.now.Seconds(); sec >= next {
				next += 2 * unit
				if w.net.dirty {
					w.net.share()
				}
				busy, held, full, wait := 0.0, 0, 0, 0
				for _, h := range w.hosts[1:] {
					r := 0.0
					for _, f := range w.net.flows {
						if f.up == h.up {
							r += f.rate
						}
					}
					busy += r / h.up.cap
					held += h.held.Len()
					if h.complete() {
						full++
					}
					wait += len(h.upload.waiting)
				}
				if sec/unit > 19 && sec/unit < 25 {
					for _, h := range w.hosts[1:] {
						r, in, parents, children := 0.0, 0, 0, 0
						for _, f := range w.net.flows {
							if f.up == h.up {
								r += f.rate
							}
							if f.down == h.down {
								in++
							}
						}
						fl := len(h.d.asks)
						var inter [4]int
						for _, o := range w.hosts[1:] {
							if o == h {
								continue
							}
							for _, l := range o.d.links {
								if l.host == h {
									children++
									can := h.held.Minus(o.held)
									inter[0] += can.Len()
									for _, k := range o.d.asks {
										if can.Has(k.Piece) {
											inter[1]++
											can.Remove(k.Piece)
											if k.f != nil {
												inter[2]++
											}
										}
										if k.server == h {
											inter[3]++
										}
									}
								}
							}
						}
						parents = len(h.d.links)
						fmt.Printf("slots   %s out %.2f in %d asks %d parents %d children %d held %d useful %v waiting %d\n", h.facts.ID, r/h.up.cap, in, fl, parents, children, h.held.Len(), inter, len(h.upload.waiting))
					}
				}
				sr := 0.0
				for _, f := range w.net.flows {
					if f.up == w.hosts[0].up {
						sr += f.rate
					}
				}
				distinct, twice := 0, 0
				for _, c := range w.hosts[0].upload.sent {
					if c > 0 {
						distinct++
					}
					if c > 1 {
						twice += c - 1
					}
				}
				fmt.Printf("slots %d t=%4.0f units: busy uplinks %4.1f/16 seed %.1f held %5.1f%% full %d seed has %d sent distinct %d again %d seed queue %d waits %d flows %d\n", slots, sec/unit, busy, sr/w.hosts[0].up.cap, float64(held)/5.12, full, w.hosts[0].held.Len(), distinct, twice, len(w.hosts[0].upload.waiting), wait, len(w.net.flows))
			}
		}
	}
}
