package wire

import (
	"fmt"
	"strings"

	"github.com/darter-p2p/darter"
)

// Keys of the gRPC metadata in which our own daemons and schedulers say what the API has no words for.
const (
	MetaNative  = "darter-native"  // "1" on every call and in every response header of our own processes
	MetaEpoch   = "darter-epoch"   // decimal uint64: which run of a host speaks (AnnounceHost, DeleteHost)
	MetaStorage = "darter-storage" // hexadecimal uint64: the content store of the host that announces itself (AnnounceHost)
	MetaKeeps   = "darter-keeps"   // decimal seconds for which that host keeps content that nobody reads (AnnounceHost); absent: it does not say
	MetaVersion = "darter-version" // version of a content (SyncPieces, both directions); absent matches anything
	MetaRelay   = "darter-relay"   // "1" (SyncPieces, both directions): pieces that still arrive are reported, too, with length 0
	MetaHeld    = "darter-held"    // PieceSet.String() of what a registering peer holds already (AnnouncePeer); may be absent
	MetaRate    = "darter-rate"    // decimal bytes per second that an asker wants fetched at most (DownloadTask on the socket)

	// MetaSchedulers is host:port of each scheduler that a daemon asks, between commas (response header of a health check on the
	// socket); empty: it asks none; absent: it does not say.
	MetaSchedulers = "darter-schedulers"
)

// sourceWord opens the description of a NeedBackToSourceResponse that our scheduler sends to our daemons.
const sourceWord = "source"

// answeredWord opens the description of a ReschedulePeerRequest of our daemons whose lost parents answered.
const answeredWord = "answered: "

// LostDescription says why other parents are wanted, and whether those that are lost answered.
func LostDescription(answered bool, why string) string {
	if answered {
		return answeredWord + why
	}
	return why
}

// ParseLostDescription reports whether the lost parents answered. Believe it of our own daemons only.
func ParseLostDescription(text string) (answered bool) { return strings.HasPrefix(text, answeredWord) }

// SourceDescription says in a NeedBackToSourceResponse which pieces its receiver is to fetch from the
// source. Nil means every missing piece.
func SourceDescription(pieces *darter.PieceSet) string {
	if pieces == nil {
		return sourceWord
	}
	return sourceWord + " pieces=" + pieces.String()
}

// ParseSourceDescription reads what SourceDescription writes. all is true when no set is named, as in every
// description of a plain Dragonfly scheduler. No piece number may reach limit. On an error the
// caller does best to fetch all missing pieces.
func ParseSourceDescription(text string, limit uint32) (pieces darter.PieceSet, all bool, err error) {
	rest, ours := strings.CutPrefix(text, sourceWord)
	if !ours || (rest != "" && rest[0] != ' ') {
		return darter.PieceSet{}, true, nil
	}
	for _, word := range strings.Fields(rest) {
		list, named := strings.CutPrefix(word, "pieces=")
		if !named {
			continue
		}
		pieces, err = darter.ParsePieceSet(list, limit)
		if err != nil {
			return darter.PieceSet{}, true, &darter.Error{Kind: darter.Invalid, Op: "read back-to-source description",
				Err: fmt.Errorf("%q: %w", clip(text), err)}
		}
		return pieces, false, nil
	}
	return darter.PieceSet{}, true, nil
}

// clip keeps hostile text out of error messages.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
