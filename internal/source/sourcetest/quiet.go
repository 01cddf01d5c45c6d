package sourcetest

import (
	"io"
	"log"
)

// quiet is for servers whose clients are meant to break off.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
