package cli

import (
	"context"
	"fmt"
	"io"
	"time"
)

// How often progress is shown on a terminal and elsewhere.
const (
	drawEvery  = 100 * time.Millisecond
	plainEvery = 2 * time.Second
)

// showProgress shows m until the function it returns is called, which waits until the last trace of
// the progress line is gone.
func showProgress(ctx context.Context, m *meter, s *screen, plain io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		every := plainEvery
		if s != nil {
			every = drawEvery
			defer s.clear()
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				switch v := m.look(now); {
				case s != nil:
					s.draw(v)
				case plain != nil:
					fmt.Fprintln(plain, plainLine(v))
				}
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
