package rpc

// startReader reads a stream beside its handler. It ends when the handler has returned, as gRPC then ends the
// stream's context.
func (s *Server) startReader(c *session) { go c.read() }
