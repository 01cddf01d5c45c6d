package disk

// turn lets one at a time do something that reads or writes files. It is a channel and no mutex, because a mutex must
// not be held across I/O: in a bubble of virtual time a goroutine that waits for a mutex stops the clock.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take() { t <- struct{}{} }
func (t turn) give() { <-t }
