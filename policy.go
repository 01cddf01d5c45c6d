package darter

import "time"

// Version is one immutable version of a document: of a policy, of a setting.
type Version struct {
	Number         int64     `json:"version"`
	Hash           string    `json:"hash"` // of the document, and its ETag
	Author         Actor     `json:"author"`
	Reason         string    `json:"reason,omitempty"`
	Created        time.Time `json:"created"`
	Activated      time.Time `json:"activated,omitzero"` // when it last came into force; zero: never
	RolledBackFrom int64     `json:"rolled_back_from,omitempty"`
	Diff           []Change  `json:"diff,omitempty"` // against the version that was in force before
}
