package sourcetest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

func ExampleNew() {
	o := sourcetest.New()
	o.Put("f", []byte("0123456789"))
	r := httptest.NewRequest(http.MethodGet, "/f", nil)
	r.Header.Set("Range", "bytes=2-4")
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body, w.Header().Get("Content-Range"))
	fmt.Println(o.BodyBytes(), o.Requests()[0].Range)
	// Output:
	// 206 234 bytes 2-4/10
	// 3 bytes=2-4
}

// A test that downloads from one process and compares in another relies on these bytes.
func TestRandomIsTheSameEverywhere(t *testing.T) {
	all, err := io.ReadAll(sourcetest.RandomReader(100_003, 7))
	if err != nil || len(all) != 100_003 {
		t.Fatalf("%d bytes, %v", len(all), err)
	}
	sum := sha256.Sum256(all)
	const want = "52b135178778ee2725d73956e62fe9814ae220d6e7960fd16f67f2e3d0c59904"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the bytes of seed 7 have sha256 %s, want %s", got, want)
	}
	o := sourcetest.New()
	o.AddRandom("f", 100_003, 7)
	if got := o.SHA256("f"); got != want {
		t.Errorf("SHA256 = %s, want %s", got, want)
	}
	for _, span := range []darter.Span{{Offset: 0, Length: 1}, {Offset: 3, Length: 10}, {Offset: 8, Length: 16},
		{Offset: 99_999, Length: 100}, {Offset: 7, Length: 50_001}} {
		if got := o.Content("f", span); !bytes.Equal(got, all[span.Offset:min(span.End(), 100_003)]) {
			t.Errorf("the bytes at %v depend on where reading began", span)
		}
	}
	o.AddRandom("f", 100_003, 8)
	if o.SHA256("f") == want {
		t.Error("another seed gives the same bytes")
	}
}

func TestCounters(t *testing.T) {
	o := sourcetest.NewOrigin(t)
	url := o.AddRandom("f", 1<<20, 1)
	for range 2 {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 1<<20 {
			t.Errorf("%d bytes, %v", n, err)
		}
		resp.Body.Close()
	}
	if got := o.BodyBytes(); got != 2<<20 {
		t.Errorf("BodyBytes = %d after two downloads of 1 MiB", got)
	}
	if r := o.Requests(); len(r) != 2 || r[0].Status != 200 || r[1].Sent != 1<<20 {
		t.Errorf("Requests = %+v", r)
	}
	o.Reset()
	if o.BodyBytes() != 0 || len(o.Requests()) != 0 {
		t.Error("Reset left something")
	}
	resp, err := http.Get(o.URL("missing"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if r := o.Requests(); resp.StatusCode != 404 || r[0].Status != 404 {
		t.Errorf("a missing path: %d, %+v", resp.StatusCode, r)
	}
}
