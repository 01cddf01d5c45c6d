package http_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

func ExampleNew() {
	origin := sourcetest.New()
	origin.Put("greeting", []byte("hello, world"))
	server := httptest.NewServer(origin.Handler())
	defer server.Close()

	s, err := http.New(http.DefaultConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	r := source.Request{URL: server.URL + "/greeting"}
	info, err := s.Stat(context.Background(), r)
	fmt.Println(info.Length, info.Ranges, info.Version, err)
	body, err := s.Open(context.Background(), r, &darter.Span{Offset: 7, Length: 5}, info)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	fmt.Println(string(text), err)
	// Output:
	// 12 true etag:"c-1" <nil>
	// world <nil>
}
