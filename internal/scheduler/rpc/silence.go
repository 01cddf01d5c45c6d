package rpc

import (
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// unknownInterval stands for the announce interval of hosts that do not tell.
const unknownInterval = 300 * time.Second

// silentLocked gives up the hosts that were silent for two announce intervals. The lock is held. It looks at all of
// them, so it does so at the pace of a plain tick and not of the ticks that the swarm asks for.
func (h *hub) silentLocked() (news []swarm.Effect) {
	now := time.Now()
	if now.Sub(h.mu.looked) < h.cfg.TickEvery {
		return nil
	}
	h.mu.looked = now
	for _, v := range h.mu.swarm.Hosts() {
		interval := v.Host.Interval
		if interval <= 0 {
			interval = unknownInterval
		}
		if now.Sub(v.Evidence) > 2*interval {
			news = append(news, h.stepLocked(swarm.HostVerdict{Host: v.Host.ID, Verdict: darter.Forgotten, Reason: "silent for two announce intervals"})...)
		}
	}
	return news
}
