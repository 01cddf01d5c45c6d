package darter

import (
	"strings"
	"time"
)

// TaskID names one content to distribute: 64 hexadecimal digits, computed by package identity.
// For an OCI blob it is the digest's hex, else a hash over the request's identity.
type TaskID string

// Short returns the first twelve characters, for people.
func (id TaskID) Short() string {
	if len(id) > 12 {
		return string(id[:12])
	}
	return string(id)
}

// Valid reports whether the id has the 64 lower-case hexadecimal digits that the piece protocol needs.
func (id TaskID) Valid() bool {
	if len(id) != 64 {
		return false
	}
	return strings.Trim(string(id), "0123456789abcdef") == ""
}

// Priority is how urgently a request may use seeds and the source: 0 (let the application table
// decide) to 6 (highest), as Dragonfly's API numbers it.
type Priority uint8

// Want is one request for content, as a client states it. Its identity (package identity) is made of
// URL, Tag, Application, FilteredQuery, PieceLength, ContentForID and DigestAsID; nothing else in it
// changes the TaskID.
type Want struct {
	URL           string
	Digest        Digest            // expected digest of the whole content; empty when unknown
	Range         *Range            // nil means everything
	Tag           string            // part of the identity
	Application   string            // part of the identity
	Priority      Priority          // 0..6
	FilteredQuery []string          // query keys that do not change the identity
	Header        map[string]string // sent to the source; may hold credentials: never log, never echo
	PieceLength   int64             // explicit piece length in bytes; 0 means computed
	ContentForID  string            // when set, the TaskID is the hash of this text
	DigestAsID    bool              // use the digest in a registry blob URL as TaskID
	Revision      string            // model hub revision; part of the identity

	OutputPath     string        // file to produce; empty when the caller takes the bytes itself
	Overwrite      bool          // replace an existing OutputPath
	ForceHardLink  bool          // fail rather than copy when OutputPath cannot be a hard link
	NeedContent    bool          // the caller wants the bytes of each piece
	Timeout        time.Duration // limit of the whole download; 0 means none
	Rate           Size          // bytes per second that this asker wants fetched at most; 0 means any
	DisableSource  bool          // never go to the source
	NeedSource     bool          // go to the source (a seed's trigger)
	MetadataOnly   bool          // announce what is held, fetch nothing
	Prefetch       bool          // fetch the rest of the task after a ranged request
	IsPrefetch     bool          // this request is such a prefetch
	RemoteIP       string        // who asked, for logs
	ConcurrentHint uint32        // pieces fetched at once by this peer; 0 means unknown

	// Layout as the registering peer knows it; zero before the source was asked.
	Layout Layout
	// LayoutKnown tells an empty content (length 0) from an unknown one.
	LayoutKnown bool
}
