package sourcetest

// Faults is how one path is served. The zero value is a well-behaved server.
type Faults struct {
	Header map[string]string // added to every answer; overrides

	NoRanges  bool // ignores Range: always 200 with everything
	NoLength  bool // chunked body without Content-Length, total "*" in Content-Range, HEAD silent
	HeadTells bool // HEAD tells the length although NoLength is set
	NoHead    bool // answers HEAD with 405
	NoVersion bool // neither ETag nor Last-Modified
	NoETag    bool // only Last-Modified

	LengthOff   int64 // added to every length and total that is told
	Short       int64 // bytes missing at the end of each body; with NoLength a clean end, else a cut connection
	Long        int64 // surplus bytes at the end of each 206 body
	Shift       int64 // 206 answers tell and send a range this much further on
	ChangeAfter int   // after so many GETs the content is another one; 0 never
	DropRanges  int   // after so many GETs ranges are ignored; 0 never

	Statuses   []int  // answered first, one per request, instead of the content; 200 stands for the content
	RetryAfter string // Retry-After of those

	Redirect       string // Location; an absolute URL, or a path of the same origin
	RedirectStatus int    // default 302

	StallHeader bool  // never answers
	Stall       bool  // stops after StallAfter bytes of each body, until the client goes
	StallAfter  int64 // bytes
	StallOnce   bool  // only the first answer stalls

	NeedHeader map[string]string // 401 for requests without these
}
