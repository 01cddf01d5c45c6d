package main

import (
	"context"
	"sync"
	"time"
)

// together starts n calls at once and waits for all. It returns how far apart the starts were.
func together(n int, call func(i int) error) (spread time.Duration, errs []error) {
	errs = make([]error, n)
	begun := make([]time.Time, n)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			<-gate
			begun[i] = time.Now()
			errs[i] = call(i)
		}()
	}
	close(gate)
	all.Wait()
	first, last := begun[0], begun[0]
	for _, b := range begun {
		if b.Before(first) {
			first = b
		}
		if b.After(last) {
			last = b
		}
	}
	return last.Sub(first), errs
}

// onceAfter calls act as soon as reached says so. The function it returns ends the watch and says
// whether act was called.
func onceAfter(ctx context.Context, reached func() bool, act func()) func() bool {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan bool, 1)
	go func() {
		for {
			if reached() {
				act()
				done <- true
				return
			}
			if pause(ctx, 5*time.Millisecond) != nil {
				done <- false
				return
			}
		}
	}()
	return func() bool { cancel(); return <-done }
}

// sampling calls sample again and again until the function it returns is called.
func sampling(ctx context.Context, every time.Duration, sample func(since time.Duration)) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		for pause(ctx, every) == nil {
			sample(time.Since(began))
		}
	}()
	return func() { cancel(); <-done }
}
