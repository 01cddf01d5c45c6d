package rest

import (
	"reflect"
	"testing"
)

type unseen struct {
	ID string `path:"id"`
}

// TestInputsThatHumaWouldNotSeeAreRefused holds that no path or query parameter is silently left out.
func TestInputsThatHumaWouldNotSeeAreRefused(t *testing.T) {
	checkInput(reflect.TypeFor[struct{ Page }]()) // does not panic
	defer func() {
		if recover() == nil {
			t.Error("an input that hides its parameters was taken")
		}
	}()
	checkInput(reflect.TypeFor[*struct{ unseen }]())
}
