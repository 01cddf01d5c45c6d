package rig

import "runtime"

// start starts the command and the goroutine that waits for its end. Both happen on one locked
// thread: the kernel ends a child with Pdeathsig when the thread that started it ends.
func (p *Process) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.done)
	}()
	return <-started
}
