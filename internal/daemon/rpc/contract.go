package rpc

import (
	"context"

	"github.com/darter-p2p/darter"
)

// Downloads starts downloads on this host: for the scheduler's trigger on the upload port and for
// local clients on the download socket. The daemon role implements it over fetch.
type Downloads interface {
	// Start returns once the layout of the content is known. ctx bounds the whole download: when it
	// ends, so does this caller's part in it (others may share the fetch). Errors are a darter.Error, or wrap
	// a *source.Error when the source answered with something else than the content.
	Start(ctx context.Context, w darter.Want) (Download, error)
}

// Download is one caller's view of a running, or finished, download.
type Download interface {
	Started() Started
	// Next returns the next piece that this caller wants and that is here now, in any order, each once; io.EOF after
	// the last, when the content is complete, matched its digest and, where asked for, lies at
	// Want.OutputPath. Any other error means that the download failed.
	Next(ctx context.Context) (darter.Piece, error)
	// Close gives this caller's part up. It is safe to call twice.
	Close()
}

// Started is what is known when a download begins.
type Started struct {
	Host     darter.HostID
	Task     darter.TaskID
	Peer     darter.PeerID
	Layout   darter.Layout
	Range    *darter.Range     // the effective range; nil means everything
	Header   map[string]string // the source's answer, without secrets
	Pieces   darter.PieceSet   // what this caller will get
	Finished bool              // all of Pieces was here already
}
