package password

// Occupy takes a slot as a hash under way does.
func (h *Hasher) Occupy() (release func()) {
	h.slots <- struct{}{}
	return func() { <-h.slots }
}
